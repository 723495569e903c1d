#include "kvcache/admission/remaining_tokens.h"

#include <algorithm>
#include <cmath>

namespace plimsoll {
namespace {

using Seconds = std::chrono::duration<double>;
constexpr double kKept = 0.99;       // of what was reported, at each report
constexpr double kKeepsPace = 4;     // tokens: whoever is not further off ends as expected
constexpr Seconds kLongest(3600.0);  // longer than any answer; keeps the conversion in range

}  // namespace

double RemainingTokens::ClockAt(Instant now) const {
  return clock_ + pace() * Seconds(now - read_).count();
}

Duration RemainingTokens::TimeUntil(double end, Instant now) const {
  const Seconds time(std::max(0.0, end - ClockAt(now)) / pace());
  return std::chrono::duration_cast<Duration>(std::min(time, kLongest));
}

void RemainingTokens::Set(int64_t number, Place& place, Tokens remaining, Instant now) {
  const double end = ClockAt(now) + static_cast<double>(remaining.value());
  if (place && std::abs(end - *place) < kKeepsPace) return;
  Remove(number, place);
  ends_.emplace_hint(ends_.end(), end, number);
  place = end;
}

void RemainingTokens::Remove(int64_t number, Place& place) {
  if (!place) return;
  ends_.erase({*place, number});
  place.reset();
}

void RemainingTokens::Paced(Tokens generated, Duration time, Instant now) {
  if (time <= Duration::zero()) return;
  clock_ = ClockAt(now);
  read_ = now;
  tokens_ = tokens_ * kKept + static_cast<double>(generated.value());
  seconds_ = seconds_ * kKept + Seconds(time).count();
}

}  // namespace plimsoll
