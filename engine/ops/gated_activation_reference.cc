#include <cmath>
#include <numbers>

#include "engine/ops/arguments.h"
#include "engine/ops/reference.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {
namespace {

double Activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGelu:
      return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
    case Activation::kGeluTanh:
      return 0.5 * x *
             (1.0 + std::tanh(std::sqrt(2.0 * std::numbers::inv_pi) * (x + 0.044715 * x * x * x)));
  }
  CheckFailed(__FILE__, __LINE__, "a known activation", "");
}

}  // namespace

absl::Status GatedActivation(const GatedActivationArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  for (int64_t i = 0; i < args.count; ++i) {
    args.out[i] = static_cast<float>(Activate(args.activation, args.gate[i]) * args.up[i]);
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
