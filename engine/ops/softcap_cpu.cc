#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "engine/ops/cpu_threads.h"
#include "kvcache/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/softcap_cpu.cc"
#include "hwy/foreach_target.h"  // before highway.h

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#include "engine/ops/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {

void CapRange(const SoftcapArgs& args, int64_t begin, int64_t end) {
  const Floats d;
  const FloatVector cap = hn::Set(d, args.cap);
  float* const x = args.x + begin;
  TransformFloats(x, end - begin, x, [&](FloatVector v, int64_t) HWY_ATTR {
    return hn::Mul(cap, hn::Tanh(d, hn::Div(v, cap)));
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plimsoll::cpu {

HWY_EXPORT(CapRange);

absl::Status Softcap(const SoftcapArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const auto cap_range = HWY_DYNAMIC_DISPATCH(CapRange);
  CpuThreads().ParallelFor(args.count, /*grain=*/4096,
                           [&](int64_t begin, int64_t end) { cap_range(args, begin, end); });
  return absl::OkStatus();
}

}  // namespace plimsoll::cpu
#endif
