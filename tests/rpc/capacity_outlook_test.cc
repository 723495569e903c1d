// The sentence that operators see first.
#include "rpc/capacity_outlook.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// So many of 1000 blocks are reserved, for so many requests.
AdmissionSnapshot Held(int64_t blocks, int64_t reservations) {
  AdmissionSnapshot snapshot;
  snapshot.blocks = {.total = Blocks(1000),
                     .live = Blocks(0),
                     .cached = Blocks(0),
                     .reserved = Blocks(blocks),
                     .free = Blocks(1000 - blocks)};
  snapshot.headroom = Blocks(1000 - blocks);
  snapshot.reservations = reservations;
  return snapshot;
}

CapacityReport Report(const AdmissionSnapshot& snapshot, std::string epoch = "e1") {
  return {.pool = "default",
          .epoch = std::move(epoch),
          .block_tokens = Tokens(16),
          .block_bytes = Bytes(0),
          .snapshot = snapshot};
}

Instant At(Duration time) { return Instant(time); }

// By hand: 10 requests more of 9.5 blocks each on average come in 10 s, and 1000 - 190 blocks are
// left: at 9 blocks a second for 90 s.
TEST(CapacityOutlook, OfAPoolThatFills) {
  const std::vector<TimedSnapshot> recent = {{At(seconds(0)), Held(100, 10)},
                                             {At(seconds(10)), Held(190, 20)}};
  const CapacityOutlook outlook = OutlookOf(recent);
  EXPECT_EQ(outlook.shape, Blocks(10)) << "290 / 30, rounded up";
  EXPECT_EQ(outlook.room, 81);
  EXPECT_DOUBLE_EQ(outlook.net_blocks_per_second, 9.0);
  ASSERT_TRUE(outlook.full_in);
  EXPECT_NEAR(std::chrono::duration<double>(*outlook.full_in).count(), 90.0, 1e-6);
  EXPECT_EQ(SentenceOf(outlook),
            "room for 81 more requests of the current shape; full in about 2 min");
}

TEST(CapacityOutlook, SaysWhyThereIsNoRoom) {
  EXPECT_EQ(SentenceOf(OutlookOf({})), "room for 0 blocks; no request is held yet");
  std::vector<TimedSnapshot> one = {{At(seconds(0)), Held(0, 0)}};
  EXPECT_EQ(SentenceOf(OutlookOf(one)), "room for 1000 blocks; no request is held yet");
  one[0].snapshot = Held(800, 2);
  EXPECT_EQ(SentenceOf(OutlookOf(one)),
            "full: a request of the current shape takes 400 blocks, 200 are left");
  one[0].snapshot = Held(500, 1);
  EXPECT_EQ(SentenceOf(OutlookOf(one)),
            "room for 1 more request of the current shape; not filling up");
  one[0].snapshot.waiting = 1;
  EXPECT_EQ(SentenceOf(OutlookOf(one)), "no room: 1 request waits, 500 blocks are free");
  one[0].snapshot.draining = true;
  EXPECT_EQ(SentenceOf(OutlookOf(one)),
            "draining: nothing new is taken; 1 request holds 500 blocks");
}

TEST(CapacityOutlook, CachedBlocksAreRoomAndHeadroomIsWhatCounts) {
  AdmissionSnapshot now = Held(100, 10);
  now.blocks.cached = Blocks(400);
  now.blocks.free = Blocks(500);
  now.headroom = Blocks(300);  // the rest is kept for a tenant
  const std::vector<TimedSnapshot> recent = {{At(seconds(0)), Held(0, 0)}, {At(seconds(10)), now}};
  EXPECT_EQ(OutlookOf(recent).room, 30);
  EXPECT_NEAR(std::chrono::duration<double>(*OutlookOf(recent).full_in).count(), 90.0, 1e-6);
}

TEST(CapacityOutlook, TellsNoTimeFromTooLittleOrFromAPoolThatEmpties) {
  const std::vector<TimedSnapshot> brief = {{At(seconds(0)), Held(0, 0)},
                                            {At(milliseconds(4999)), Held(100, 1)}};
  EXPECT_FALSE(OutlookOf(brief).full_in);
  const std::vector<TimedSnapshot> emptying = {{At(seconds(0)), Held(100, 1)},
                                               {At(seconds(5)), Held(90, 1)}};
  EXPECT_FALSE(OutlookOf(emptying).full_in);
  EXPECT_LT(OutlookOf(emptying).net_blocks_per_second, 0);
  const std::vector<TimedSnapshot> slow = {{At(seconds(0)), Held(0, 0)},
                                           {At(seconds(60)), Held(0, 0)},
                                           {At(seconds(100'000)), Held(1, 1)}};
  EXPECT_FALSE(OutlookOf(slow).full_in) << "days";
}

TEST(CapacityOutlook, SaysTimeInTheUnitOnePlansWith) {
  EXPECT_EQ(AboutText(milliseconds(100)), "about 1 s");
  EXPECT_EQ(AboutText(seconds(89)), "about 89 s");
  EXPECT_EQ(AboutText(seconds(170)), "about 3 min");
  EXPECT_EQ(AboutText(minutes(89)), "about 89 min");
  EXPECT_EQ(AboutText(minutes(150)), "about 2 h");
}

TEST(RecentReports, KeepAMinuteAndThinOutWhatComesThick) {
  RecentReports recent;
  recent.Add(At(seconds(0)), Report(Held(0, 0)));
  for (int ms = 30'000; ms <= 90'000; ms += 20) {
    recent.Add(At(milliseconds(ms)), Report(Held(ms / 1000, 1)));
  }
  const CapacityOutlook outlook = recent.Outlook();
  EXPECT_EQ(outlook.now.blocks.reserved, Blocks(90)) << "the newest counts";
  EXPECT_NEAR(outlook.net_blocks_per_second, 1.0, 0.01) << "the first report is forgotten";
}

TEST(RecentReports, StartOverWithAnotherLifeOrAnotherSize) {
  RecentReports recent;
  recent.Add(At(seconds(0)), Report(Held(0, 0)));
  recent.Add(At(seconds(10)), Report(Held(100, 1)));
  EXPECT_GT(recent.Outlook().net_blocks_per_second, 0);
  recent.Add(At(seconds(20)), Report(Held(500, 1), "e2"));
  EXPECT_EQ(recent.Outlook().net_blocks_per_second, 0);
  EXPECT_EQ(recent.Outlook().shape, Blocks(500));
  AdmissionSnapshot smaller = Held(500, 1);
  smaller.blocks.total = Blocks(600);
  smaller.blocks.free = Blocks(100);
  recent.Add(At(seconds(40)), Report(smaller, "e2"));
  EXPECT_EQ(recent.Outlook().net_blocks_per_second, 0) << "nobody took the 400 blocks";
}

// Whatever is reported: room is never more than what is free, and times are never negative.
TEST(CapacityOutlook, IsSaneOnAnyReports) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  for (int round = 0; round < 500; ++round) {
    std::vector<TimedSnapshot> recent;
    Instant at;
    for (auto i = rng() % 40; i > 0; --i) {
      at += milliseconds(rng() % 5000);
      const auto held = static_cast<int64_t>(rng() % 1001);
      recent.push_back({at, Held(held, held == 0 ? 0 : 1 + static_cast<int64_t>(rng()) % held)});
    }
    const CapacityOutlook outlook = OutlookOf(recent);
    ASSERT_TRUE(std::isfinite(outlook.net_blocks_per_second));
    if (outlook.room) {
      ASSERT_LE(*outlook.room * outlook.shape->value(), outlook.now.headroom.value());
    }
    ASSERT_GE(outlook.full_in.value_or(Duration::zero()), Duration::zero());
    ASSERT_FALSE(SentenceOf(outlook).empty());
  }
}

}  // namespace
}  // namespace plimsoll
