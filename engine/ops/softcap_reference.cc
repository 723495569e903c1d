#include <cmath>

#include "engine/ops/arguments.h"
#include "engine/ops/reference.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {

absl::Status Softcap(const SoftcapArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const double cap = args.cap;
  for (int64_t i = 0; i < args.count; ++i) {
    args.x[i] = static_cast<float>(cap * std::tanh(args.x[i] / cap));
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
