// Who holds what, in pages.
#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

class ListingTest : public AdmissionTest {
 protected:
  ListingTest() : AdmissionTest(Blocks(4000)) {}

  std::string HoldFor(const std::string& tenant, int64_t blocks) {
    return std::get<Reservation>(Must(admission_->Reserve(RequestOf(16 * blocks, 0, tenant)))).id;
  }
  // Everything that the filter means, page by page.
  std::vector<Holding> All(int64_t page_size, const HoldingFilter& filter = {}) {
    std::vector<Holding> all;
    std::optional<int64_t> after = 0;
    while (after) {
      const HoldingPage page = admission_->HoldingsAfter(*after, page_size, filter);
      EXPECT_LE(std::ssize(page.holdings), page_size);
      all.insert(all.end(), page.holdings.begin(), page.holdings.end());
      after = page.next;
    }
    return all;
  }
};

TEST_F(ListingTest, SaysWhatEachDoes) {
  const std::string waits = HoldFor("a", 1);
  const std::string held = HoldFor("a", 2);
  Must(admission_->Renew(held));
  const std::string runs = HoldFor("b", 3);
  Must(admission_->BeginSequence(runs));
  const std::string stops = HoldFor("b", 4);
  Must(admission_->BeginSequence(stops));
  ASSERT_TRUE(admission_->Release(stops).ok());
  ASSERT_TRUE(admission_->Release(HoldFor("a", 5)).ok());
  After(seconds(2));
  const std::vector<Holding> all = All(10);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].id, waits);
  EXPECT_EQ(all[0].state, HoldingState::kUnconfirmed);
  EXPECT_EQ(all[0].remaining, seconds(3)) << "of the confirm window";
  EXPECT_EQ(all[0].age, seconds(2));
  EXPECT_EQ(all[1].state, HoldingState::kHeld);
  EXPECT_EQ(all[1].remaining, seconds(28));
  EXPECT_EQ(all[1].blocks, Blocks(2));
  EXPECT_EQ(all[2].state, HoldingState::kRunning);
  EXPECT_FALSE(all[2].remaining);
  EXPECT_FALSE(all[2].may_stop) << "it is promised the whole";
  EXPECT_EQ(all[2].prompt_tokens, Tokens(48));
  EXPECT_EQ(all[3].state, HoldingState::kStopping);
  EXPECT_EQ(All(10, {.tenant = "b"}).size(), 2u);
  EXPECT_EQ(All(10, {.tenant = "b", .state = HoldingState::kRunning}).at(0).id, runs);
  EXPECT_EQ(All(10, {.state = HoldingState::kSuspended}).size(), 0u);
}

TEST_F(ListingTest, OnlyWhatRunsAndGoesOnMayStop) {
  Restart({.epoch = "e1", .policy = {.policy = Policy::kWatermark, .watermark = 0}});
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) {
    ids.push_back(HoldFor("t", 1));
    if (i > 0) Must(admission_->BeginSequence(ids.back()));
  }
  admission_->SuspendSequence(ids[2]);
  ASSERT_TRUE(admission_->Release(ids[3]).ok());
  std::vector<std::string> may_stop;
  for (const Holding& each : All(10)) {
    if (each.may_stop) may_stop.push_back(each.id);
  }
  EXPECT_EQ(may_stop, std::vector<std::string>{ids[1]});
}

TEST_F(ListingTest, NamesReadBack) {
  for (const std::string name : {"unconfirmed", "held", "running", "suspended", "stopping"}) {
    const std::optional<HoldingState> state = HoldingStateFromName(name);
    ASSERT_TRUE(state) << name;
    EXPECT_EQ(NameOf(*state), name);
  }
  EXPECT_FALSE(HoldingStateFromName("idle"));
}

TEST_F(ListingTest, LooksAtAThousandAtMostWhateverTheFilterLeavesOut) {
  for (int i = 0; i < 2500; ++i) HoldFor("many", 1);
  const std::string rare = HoldFor("rare", 1);
  const HoldingPage first = admission_->HoldingsAfter(0, 10, {.tenant = "rare"});
  EXPECT_TRUE(first.holdings.empty());
  ASSERT_TRUE(first.next);
  EXPECT_EQ(*first.next, 1000);
  const std::vector<Holding> found = All(10, {.tenant = "rare"});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].id, rare);
}

// Pages of any size, while others come and go, say the same as remembering every call.
TEST_F(ListingTest, PagesAgreeWithWhatWasDone) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  std::vector<std::pair<std::string, std::string>> held;  // id and tenant, in order of grants
  for (int step = 0; step < 400; ++step) {
    if (held.empty() || rng() % 3 != 0) {
      const std::string tenant = rng() % 2 == 0 ? "even" : "odd";
      held.emplace_back(HoldFor(tenant, 1), tenant);
    } else {
      const auto gone = held.begin() + static_cast<std::ptrdiff_t>(rng() % held.size());
      ASSERT_TRUE(admission_->Release(gone->first).ok());
      held.erase(gone);
    }
    std::vector<std::string> expected;
    for (const auto& [id, tenant] : held) {
      if (tenant == "odd") expected.push_back(id);
    }
    std::vector<std::string> listed;
    for (const Holding& each : All(1 + rng() % 7, {.tenant = "odd"})) listed.push_back(each.id);
    ASSERT_EQ(listed, expected) << "step " << step;
    ASSERT_EQ(std::ssize(All(50)), std::ssize(held));
  }
}

// What ends between two pages is not listed, and nothing is listed twice.
TEST_F(ListingTest, GoesOnAfterTheLastOneEvenWhenThatHasEnded) {
  std::vector<std::string> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(HoldFor("t", 1));
  const HoldingPage first = admission_->HoldingsAfter(0, 2);
  ASSERT_TRUE(first.next);
  ASSERT_TRUE(admission_->Release(ids[1]).ok());
  ASSERT_TRUE(admission_->Release(ids[2]).ok());
  const HoldingPage second = admission_->HoldingsAfter(*first.next, 2);
  ASSERT_EQ(second.holdings.size(), 2u);
  EXPECT_EQ(second.holdings[0].id, ids[3]);
  EXPECT_EQ(second.holdings[1].id, ids[4]);
}

}  // namespace
}  // namespace plimsoll
