#include <cmath>

#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "engine/ops/cpu_threads.h"
#include "kvcache/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/rms_norm_cpu.cc"
#include "hwy/foreach_target.h"  // before highway.h

#include "hwy/highway.h"

#include "engine/ops/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {

float SumOfSquares(const float* x, int64_t count) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  FloatVector even = hn::Zero(d);
  FloatVector odd = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const FloatVector a = hn::LoadU(d, x + i);
    const FloatVector b = hn::LoadU(d, x + i + lanes);
    even = hn::MulAdd(a, a, even);
    odd = hn::MulAdd(b, b, odd);
  }
  for (; i < count; i += lanes) {
    const int64_t left = count - i;
    const FloatVector a =
        left >= lanes ? hn::LoadU(d, x + i) : LoadTail(d, x + i, static_cast<size_t>(left));
    even = hn::MulAdd(a, a, even);
  }
  return Sum(d, hn::Add(even, odd));
}

// A vector of the `left` numbers that are left, or of as many of them as it holds.
template <class T>
HWY_INLINE FloatVector LoadUpTo(const T* from, int64_t left) {
  const Floats d;
  if (left >= static_cast<int64_t>(hn::Lanes(d))) return LoadFloats(d, from);
  return LoadTail(d, from, static_cast<size_t>(left));
}

void NormRows(const RmsNormArgs& args, int64_t begin, int64_t end) {
  const Floats d;
  const FloatVector offset = hn::Set(d, args.gain_offset);
  WithType(args.gain.type, args.gain.data, [&](const auto* gain) HWY_ATTR {
    for (int64_t r = begin; r < end; ++r) {
      const float* const x = args.x + r * args.cols;
      const float mean = SumOfSquares(x, args.cols) / static_cast<float>(args.cols);
      const FloatVector scale = hn::Set(d, 1.0f / std::sqrt(mean + args.epsilon));
      float* const out = args.out + r * args.cols;
      TransformFloats(x, args.cols, out, [&](FloatVector v, int64_t c) HWY_ATTR {
        const FloatVector g = LoadUpTo(gain + c, args.cols - c);
        const FloatVector normed = hn::Mul(hn::Mul(hn::Add(g, offset), v), scale);
        return args.accumulate ? hn::Add(LoadUpTo(out + c, args.cols - c), normed) : normed;
      });
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plimsoll::cpu {

HWY_EXPORT(NormRows);

absl::Status RmsNorm(const RmsNormArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const auto norm_rows = HWY_DYNAMIC_DISPATCH(NormRows);
  CpuThreads().ParallelFor(args.rows, /*grain=*/8,
                           [&](int64_t begin, int64_t end) { norm_rows(args, begin, end); });
  return absl::OkStatus();
}

}  // namespace plimsoll::cpu
#endif
