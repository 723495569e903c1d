#include <cmath>
#include <numbers>

#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "engine/ops/cpu_threads.h"
#include "kvcache/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/gated_activation_cpu.cc"
#include "hwy/foreach_target.h"  // before highway.h

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#include "engine/ops/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {

// x / (1 + e^-y). For y = x that is SiLU; for y twice GELU's inner polynomial it is tanh GELU,
// since (1 + tanh z) / 2 = 1 / (1 + e^-2z).
HWY_INLINE FloatVector TimesSigmoid(FloatVector x, FloatVector y) {
  const Floats d;
  const FloatVector one = hn::Set(d, 1.0f);
  const FloatVector bounded = hn::Max(y, hn::Set(d, -87.0f));  // e^87 is still finite
  return hn::Div(x, hn::Add(one, hn::Exp(d, hn::Neg(bounded))));
}

HWY_INLINE FloatVector Silu(FloatVector x) { return TimesSigmoid(x, x); }

HWY_INLINE FloatVector GeluTanh(FloatVector x) {
  const Floats d;
  constexpr float kTwiceRoot = 1.5957691216057308f;  // 2 sqrt(2 / pi)
  const FloatVector cubic = hn::Mul(hn::Mul(x, x), hn::Set(d, 0.044715f));
  return TimesSigmoid(x, hn::Mul(hn::MulAdd(cubic, x, x), hn::Set(d, kTwiceRoot)));
}

// Highway has no error function; the model families that use this one are few.
HWY_INLINE FloatVector Gelu(FloatVector x) {
  const Floats d;
  HWY_ALIGN float lanes[hn::MaxLanes(Floats())];
  hn::Store(x, d, lanes);
  for (size_t i = 0; i < hn::Lanes(d); ++i) {
    lanes[i] *= 0.5f * (1.0f + std::erf(lanes[i] / std::numbers::sqrt2_v<float>));
  }
  return hn::Load(d, lanes);
}

template <class Function>
void GateWith(const GatedActivationArgs& args, int64_t begin, int64_t end, Function activate) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const float* const up = args.up + begin;
  const int64_t count = end - begin;
  TransformFloats(
      args.gate + begin, count, args.out + begin, [&](FloatVector gate, int64_t i) HWY_ATTR {
        const int64_t left = count - i;
        const FloatVector u =
            left >= lanes ? hn::LoadU(d, up + i) : LoadTail(d, up + i, static_cast<size_t>(left));
        return hn::Mul(activate(gate), u);
      });
}

void GateRange(const GatedActivationArgs& args, int64_t begin, int64_t end) {
  switch (args.activation) {
    case Activation::kSilu:
      return GateWith(args, begin, end, [](FloatVector x) HWY_ATTR { return Silu(x); });
    case Activation::kGelu:
      return GateWith(args, begin, end, [](FloatVector x) HWY_ATTR { return Gelu(x); });
    case Activation::kGeluTanh:
      return GateWith(args, begin, end, [](FloatVector x) HWY_ATTR { return GeluTanh(x); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plimsoll::cpu {

HWY_EXPORT(GateRange);

absl::Status GatedActivation(const GatedActivationArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const auto gate_range = HWY_DYNAMIC_DISPATCH(GateRange);
  CpuThreads().ParallelFor(args.count, /*grain=*/4096,
                           [&](int64_t begin, int64_t end) { gate_range(args, begin, end); });
  return absl::OkStatus();
}

}  // namespace plimsoll::cpu
#endif
