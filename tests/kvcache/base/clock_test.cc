#include "kvcache/base/clock.h"

#include <gtest/gtest.h>

namespace plimsoll {
namespace {

using std::chrono::seconds;

TEST(Clocks, SimulatedTimeStartsAtZeroAndMovesOnlyWhenTold) {
  SimulatedClock clock;
  EXPECT_EQ(clock.Now(), Instant());
  EXPECT_EQ(clock.Now(), Instant());
  clock.Advance(seconds(3));
  EXPECT_EQ(clock.Now(), Instant(seconds(3)));
  clock.AdvanceTo(Instant(seconds(3)));
  EXPECT_EQ(clock.Now(), Instant(seconds(3)));
}

TEST(Clocks, CalendarTimeMovesWithSimulatedTime) {
  SimulatedClock clock;
  const WallTime before = clock.WallNow();
  clock.Advance(seconds(7));
  EXPECT_EQ(clock.WallNow() - before, seconds(7));
}

TEST(Clocks, SystemTimeNeverRunsBack) {
  const SystemClock clock;
  Instant last = clock.Now();
  for (int i = 0; i < 1000; ++i) {
    const Instant now = clock.Now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(ClocksDeathTest, SettingSimulatedTimeBackAborts) {
  SimulatedClock clock;
  clock.Advance(seconds(2));
  EXPECT_DEATH(clock.AdvanceTo(Instant(seconds(1))), "check failed");
}

}  // namespace
}  // namespace plimsoll
