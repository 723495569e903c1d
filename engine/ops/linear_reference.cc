#include "engine/ops/arguments.h"
#include "engine/ops/float16.h"
#include "engine/ops/reference.h"
#include "engine/ops/weight_element.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {

absl::Status Linear(const LinearArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const WeightView& weight = args.weight;
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t n = 0; n < weight.rows; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < weight.cols; ++k) {
        sum += double{args.x[r * weight.cols + k]} * WeightElement(weight, n, k);
      }
      if (args.bias.data != nullptr) sum += ReadElement(args.bias.data, args.bias.type, n);
      float& out = args.out[r * weight.rows + n];
      out = static_cast<float>(args.accumulate ? out + sum : sum);
    }
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
