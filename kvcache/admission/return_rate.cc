#include "kvcache/admission/return_rate.h"

#include <algorithm>
#include <cmath>

namespace plimsoll {
namespace {

using Seconds = std::chrono::duration<double>;
constexpr Seconds kFade(30.0);
constexpr Seconds kLongest(3600.0);  // longer than any answer; keeps the conversion in range

}  // namespace

double ReturnRate::WeightAt(Instant now) const {
  return weight_ * std::exp(-(Seconds(now - last_) / kFade));
}

void ReturnRate::Add(Blocks n, Instant now) {
  weight_ = WeightAt(now) + static_cast<double>(n.value());
  last_ = now;
}

// A steady rate r over the time t seen so far weighs r * fade * (1 - exp(-t / fade)).
std::optional<Duration> ReturnRate::TimeFor(Blocks n, Instant now) const {
  const double weight = WeightAt(now);
  if (weight < 1.0 || now <= start_) return std::nullopt;
  const Seconds seen = kFade * -std::expm1(-(Seconds(now - start_) / kFade));
  const Seconds estimate = seen * (static_cast<double>(n.value()) / weight);
  return std::chrono::duration_cast<Duration>(std::min(estimate, kLongest));
}

}  // namespace plimsoll
