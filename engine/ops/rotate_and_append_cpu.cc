#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "engine/ops/cpu_threads.h"
#include "engine/ops/kv_row.h"
#include "engine/ops/token_slot.h"
#include "kvcache/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/rotate_and_append_cpu.cc"
#include "hwy/foreach_target.h"  // before highway.h

#include "hwy/highway.h"

#include "engine/ops/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {

void RotateHead(float* x, const float* cos, const float* sin, int64_t half) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const FloatVector low = hn::LoadU(d, x + i);
    const FloatVector high = hn::LoadU(d, x + i + half);
    const FloatVector c = hn::LoadU(d, cos + i);
    const FloatVector s = hn::LoadU(d, sin + i);
    hn::StoreU(hn::NegMulAdd(high, s, hn::Mul(low, c)), d, x + i);
    hn::StoreU(hn::MulAdd(high, c, hn::Mul(low, s)), d, x + i + half);
  }
  for (; i < half; ++i) {
    const float low = x[i];
    const float high = x[i + half];
    x[i] = low * cos[i] - high * sin[i];
    x[i + half] = high * cos[i] + low * sin[i];
  }
}

void RotateAndAppendRow(const RotateAndAppendArgs& args, int64_t row) {
  const PagedLayer& cache = args.cache;
  const int64_t dim = cache.layer.head_dim;
  const int64_t kv_heads = cache.layer.kv_heads;
  const int64_t half = args.rotated_dims / 2;
  const RowPlace& place = args.places[row];
  const float* const cos = args.cos + place.position * half;
  const float* const sin = args.sin + place.position * half;
  for (int64_t h = 0; h < args.heads; ++h) {
    RotateHead(args.q + (row * args.heads + h) * dim, cos, sin, half);
  }
  for (int64_t h = 0; h < kv_heads; ++h) {
    float* const k = args.k + (row * kv_heads + h) * dim;
    RotateHead(k, cos, sin, half);
    std::byte* const slot = KeySlot(cache, place.table, place.position, h);
    std::byte* const word = KeyWord(cache, place.table, place.position, h);
    // Highway's own narrowing truncates on some machines, so the rounding is kv_row.h's.
    WriteKvRow(cache.type, k, dim, slot, word);
    WriteKvRow(cache.type, args.v + (row * kv_heads + h) * dim, dim, slot + ValueOffset(cache),
               word + ValueWordOffset(cache));
  }
}

void RotateAndAppendRows(const RotateAndAppendArgs& args, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) RotateAndAppendRow(args, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plimsoll::cpu {

HWY_EXPORT(RotateAndAppendRows);

absl::Status RotateAndAppend(const RotateAndAppendArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const auto append_rows = HWY_DYNAMIC_DISPATCH(RotateAndAppendRows);
  CpuThreads().ParallelFor(args.rows, /*grain=*/4,
                           [&](int64_t begin, int64_t end) { append_rows(args, begin, end); });
  return absl::OkStatus();
}

}  // namespace plimsoll::cpu
#endif
