// The plan: a strip of 32 outputs for a block of up to 24 rows is one piece of work. It goes
// through the columns 2048 at a time, so that what it reads of x stays in the second-level cache,
// and inside that takes 4 outputs by 3 rows: 12 sums and 4 operands fit the 16 registers of the
// smallest machine. The 4 rows of weights stay in the first-level cache for all 24 rows; widening
// them again for each 3 measured faster than keeping them as fp32, which takes twice the cache.
//
// Each sum runs over the columns in the same order however many rows there are, so a row's result
// does not depend on how many came with it.
#include <algorithm>

#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "engine/ops/cpu_threads.h"
#include "engine/ops/float16.h"
#include "engine/ops/linear_piece.h"
#include "kvcache/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/linear_cpu.cc"
#include "hwy/foreach_target.h"  // before highway.h

#include "hwy/cache_control.h"
#include "hwy/highway.h"

#include "engine/ops/vectors-inl.h"

#ifndef PLIMSOLL_ENGINE_OPS_LINEAR_CPU_CC_
#define PLIMSOLL_ENGINE_OPS_LINEAR_CPU_CC_
namespace plimsoll {

constexpr int64_t kStrip = 32;
constexpr int64_t kRowBlock = 24;
constexpr int64_t kColumnBlock = 2048;
constexpr int64_t kOutputs = 4;
constexpr int64_t kRows = 3;

}  // namespace plimsoll
#endif

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {

// A matrix whose rows are `stride` elements apart.
template <class T>
struct Strided {
  const T* data;
  int64_t stride;
};

// out[r * out_stride + n] += sum over k < count of x[r][k] * w[n][k], for kN by kR of them.
template <int64_t kN, int64_t kR, class T>
HWY_INLINE void AddTile(Strided<T> w, Strided<float> x, int64_t count, float* out,
                        int64_t out_stride) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  FloatVector sums[kN][kR];
  for (int64_t n = 0; n < kN; ++n) {
    for (int64_t r = 0; r < kR; ++r) sums[n][r] = hn::Zero(d);
  }
  int64_t k = 0;
  for (; k + lanes <= count; k += lanes) {
    FloatVector weights[kN];
    for (int64_t n = 0; n < kN; ++n) {
      // The rows after these, which measured faster for 16 bits and slower for 32.
      if constexpr (sizeof(T) == 2) hwy::Prefetch(w.data + (kN + n) * w.stride + k);
      weights[n] = LoadFloats(d, w.data + n * w.stride + k);
    }
    for (int64_t r = 0; r < kR; ++r) {
      const FloatVector v = hn::LoadU(d, x.data + r * x.stride + k);
      for (int64_t n = 0; n < kN; ++n) sums[n][r] = hn::MulAdd(weights[n], v, sums[n][r]);
    }
  }
  if (k < count) {
    const size_t left = static_cast<size_t>(count - k);
    for (int64_t r = 0; r < kR; ++r) {
      const FloatVector v = LoadTail(d, x.data + r * x.stride + k, left);
      for (int64_t n = 0; n < kN; ++n) {
        sums[n][r] = hn::MulAdd(LoadTail(d, w.data + n * w.stride + k, left), v, sums[n][r]);
      }
    }
  }
  for (int64_t r = 0; r < kR; ++r) {
    for (int64_t n = 0; n < kN; ++n) out[r * out_stride + n] += Sum(d, sums[n][r]);
  }
}

// The same for any number of rows, three at a time.
template <int64_t kN, class T>
void AddRows(Strided<T> w, Strided<float> x, int64_t rows, int64_t count, float* out,
             int64_t out_stride) {
  for (; rows >= kRows; rows -= kRows) {
    AddTile<kN, kRows>(w, x, count, out, out_stride);
    x.data += kRows * x.stride;
    out += kRows * out_stride;
  }
  if (rows == 2) AddTile<kN, 2>(w, x, count, out, out_stride);
  if (rows == 1) AddTile<kN, 1>(w, x, count, out, out_stride);
}

template <class T>
void AddPiece(const LinearArgs& args, const T* weights, const LinearPiece& piece) {
  const int64_t cols = args.weight.cols;
  const int64_t outputs = args.weight.rows;
  const int64_t rows = piece.row_end - piece.row_begin;
  for (int64_t k = 0; k < cols; k += kColumnBlock) {
    const int64_t count = std::min(kColumnBlock, cols - k);
    const Strided<float> x = {args.x + piece.row_begin * cols + k, cols};
    float* const out = args.out + piece.row_begin * outputs;
    int64_t n = piece.output_begin;
    for (; n + kOutputs <= piece.output_end; n += kOutputs) {
      AddRows<kOutputs>(Strided<T>{weights + n * cols + k, cols}, x, rows, count, out + n, outputs);
    }
    for (; n < piece.output_end; ++n) {
      AddRows<1>(Strided<T>{weights + n * cols + k, cols}, x, rows, count, out + n, outputs);
    }
  }
}

void LinearPieceOf(const LinearArgs& args, const LinearPiece& piece) {
  WithType(args.weight.type, args.weight.data,
           [&](const auto* weights) HWY_ATTR { AddPiece(args, weights, piece); });
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plimsoll::cpu {
namespace {

// Starts each sum: from what is there, from zero, and from the bias.
void StartSums(const LinearArgs& args, const LinearPiece& piece) {
  for (int64_t r = piece.row_begin; r < piece.row_end; ++r) {
    float* const out = args.out + r * args.weight.rows;
    for (int64_t n = piece.output_begin; n < piece.output_end; ++n) {
      if (!args.accumulate) out[n] = 0;
      if (args.bias.data != nullptr) out[n] += ReadElement(args.bias.data, args.bias.type, n);
    }
  }
}

}  // namespace

HWY_EXPORT(LinearPieceOf);

absl::Status Linear(const LinearArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const bool plain = IsFloatStorage(args.weight.type);
  const AddLinearPiece add = plain ? HWY_DYNAMIC_DISPATCH(LinearPieceOf) : AddQuantisedPiece();
  const int64_t row_block = plain ? kRowBlock : kQuantisedRowBlock;
  const int64_t strips = CeilDivide(args.weight.rows, kStrip);
  const int64_t blocks = CeilDivide(args.rows, row_block);
  CpuThreads().ParallelFor(strips * blocks, /*grain=*/1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / strips * row_block;
      const int64_t output = i % strips * kStrip;
      const LinearPiece piece = {row, std::min(row + row_block, args.rows), output,
                                 std::min(output + kStrip, args.weight.rows)};
      StartSums(args, piece);
      add(args, piece);
    }
  });
  return absl::OkStatus();
}

}  // namespace plimsoll::cpu
#endif
