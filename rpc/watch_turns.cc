#include "rpc/watch_turns.h"

#include <algorithm>
#include <cmath>

namespace plimsoll {
namespace {

// Sending to one, with what its reader and the rest of the server do meanwhile.
constexpr Duration kOfOne = std::chrono::microseconds(200);

}  // namespace

// Multiples of the golden ratio keep apart, however many there are.
double WatchTurns::Join() {
  constexpr double kGolden = 0.6180339887498949;
  watching_.fetch_add(1, std::memory_order_relaxed);
  const auto before = static_cast<double>(joined_.fetch_add(1, std::memory_order_relaxed));
  return before * kGolden - std::floor(before * kGolden);
}

Duration WatchTurns::Of(double share, Duration interval) const {
  const int64_t others = watching_.load(std::memory_order_relaxed) - 1;
  const auto most = static_cast<double>(std::min(others * kOfOne, interval).count());
  return Duration(static_cast<int64_t>(share * most));
}

}  // namespace plimsoll
