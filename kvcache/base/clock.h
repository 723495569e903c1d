// Where time comes from. Every component that needs time takes a Clock, so that tests and
// simulations run on time of their own.
//
// Threads: SystemClock and SimulatedClock may be read and set from any thread.
// Cost: SystemClock is one clock_gettime. Errors: setting simulated time back aborts.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace plimsoll {

using Duration = std::chrono::nanoseconds;
// Monotonic time; its zero means nothing.
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// Calendar time, for people and for `expire_time` on the wire; decides nothing.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant Now() const = 0;
  virtual WallTime WallNow() const = 0;
};

class SystemClock final : public Clock {
 public:
  Instant Now() const override;
  WallTime WallNow() const override;
};

// Starts at zero and moves only when told.
class SimulatedClock final : public Clock {
 public:
  Instant Now() const override;
  WallTime WallNow() const override;
  void Advance(Duration by) { AdvanceTo(Now() + by); }
  void AdvanceTo(Instant when);

 private:
  std::atomic<int64_t> nanoseconds_{0};
};

}  // namespace plimsoll
