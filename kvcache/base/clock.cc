#include "kvcache/base/clock.h"

#include "kvcache/base/check.h"

namespace plimsoll {

Instant SystemClock::Now() const { return std::chrono::steady_clock::now(); }
WallTime SystemClock::WallNow() const { return std::chrono::system_clock::now(); }

Instant SimulatedClock::Now() const { return Instant(Duration(nanoseconds_.load())); }
WallTime SimulatedClock::WallNow() const { return WallTime(Duration(nanoseconds_.load())); }

void SimulatedClock::AdvanceTo(Instant when) {
  const int64_t next = when.time_since_epoch().count();
  PLIMSOLL_CHECK(next >= nanoseconds_.load(), next, nanoseconds_.load());
  nanoseconds_.store(next);
}

}  // namespace plimsoll
