#include <algorithm>
#include <cmath>

#include "engine/ops/arguments.h"
#include "engine/ops/reference.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {
namespace {

// The largest `active` of `experts` logits, falling. An expert goes behind those that are as large,
// since they came first.
void Choose(const float* logits, int64_t experts, int64_t active, int32_t* chosen) {
  int64_t count = 0;
  for (int64_t e = 0; e < experts; ++e) {
    int64_t at = count;
    while (at > 0 && logits[e] > logits[chosen[at - 1]]) --at;
    if (at == active) continue;
    count = std::min(count + 1, active);
    std::copy_backward(chosen + at, chosen + count - 1, chosen + count);
    chosen[at] = static_cast<int32_t>(e);
  }
}

void Share(const RouteArgs& args, const float* logits, const int32_t* chosen, float* shares) {
  const double largest = logits[chosen[0]];
  const auto weight = [&](int64_t e) { return std::exp(logits[e] - largest); };
  double sum = 0;
  if (args.renormalise) {
    for (int64_t i = 0; i < args.active; ++i) sum += weight(chosen[i]);
  } else {
    for (int64_t e = 0; e < args.experts; ++e) sum += weight(e);
  }
  for (int64_t i = 0; i < args.active; ++i) {
    shares[i] = static_cast<float>(weight(chosen[i]) / sum);
  }
}

}  // namespace

absl::Status Route(const RouteArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const int64_t choices = args.active + (args.shared != nullptr ? 1 : 0);
  for (int64_t r = 0; r < args.rows; ++r) {
    const float* const logits = args.logits + r * args.experts;
    int32_t* const chosen = args.chosen + r * choices;
    float* const shares = args.shares + r * choices;
    Choose(logits, args.experts, args.active, chosen);
    Share(args, logits, chosen, shares);
    if (args.shared == nullptr) continue;
    chosen[args.active] = static_cast<int32_t>(args.experts);
    shares[args.active] = static_cast<float>(1 / (1 + std::exp(-double{args.shared[r]})));
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
