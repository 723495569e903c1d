// The queue by itself: turns, classes that age, tenants that step aside, and those who share a
// guaranteed minimum.
#include "kvcache/admission/wait_queue.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace plimsoll {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

constexpr Duration kStep = seconds(10);

Instant At(int64_t s) { return Instant(seconds(s)); }

Waiter WaiterOf(const std::string& tenant, int64_t needed, int priority = 0, size_t purse = 0) {
  return {.request = {.tenant = tenant,
                      .prompt_tokens = Tokens(1),
                      .max_new_tokens = Tokens(0),
                      .priority = priority},
          .needed = Blocks(needed),
          .purse = purse,
          .deadline = At(1000),
          .done = [](const Answer&) {}};
}

class WaitQueueTest : public testing::Test {
 protected:
  int64_t Push(const std::string& tenant, int64_t needed, int priority = 0, size_t purse = 0) {
    return queue_.Push(WaiterOf(tenant, needed, priority, purse), now_);
  }
  void After(int64_t s) {
    now_ += seconds(s);
    queue_.Promote(now_);
    queue_.CheckInvariants();
  }
  int64_t ServeOne() { return queue_.Serve(*queue_.Front()).needed.value(); }
  std::vector<int64_t> Drain() {
    std::vector<int64_t> needed;
    while (queue_.Front()) {
      queue_.CheckInvariants();
      needed.push_back(ServeOne());
    }
    return needed;
  }
  Ahead AheadOf(const std::string& tenant, int priority, size_t purse = 0) const {
    return queue_.AheadOf(WaiterOf(tenant, 1, priority).request, std::nullopt, purse, now_);
  }

  WaitQueue queue_{kStep, 3};
  Instant now_ = At(0);
};

TEST_F(WaitQueueTest, TenantsTakeTurns) {
  for (const int64_t n : {1, 2, 3}) Push("a", n);
  for (const int64_t n : {11, 12}) Push("b", n);
  EXPECT_EQ(queue_.blocks(), Blocks(29));
  EXPECT_THAT(Drain(), ElementsAre(1, 11, 2, 12, 3));
  EXPECT_EQ(queue_.blocks(), Blocks(0));
}

TEST_F(WaitQueueTest, LeavingTheLineDoesNotCostTheTenantItsTurn) {
  const int64_t first = Push("a", 1);
  Push("a", 2);
  Push("b", 11);
  EXPECT_TRUE(queue_.Remove(first).has_value());
  EXPECT_FALSE(queue_.Remove(first).has_value());
  EXPECT_THAT(Drain(), ElementsAre(2, 11));
}

TEST_F(WaitQueueTest, ATenantThatComesBackGoesToTheEndOfTheRound) {
  Push("a", 1);
  Push("b", 11);
  Push("c", 21);
  ServeOne();
  Push("a", 2);
  EXPECT_THAT(Drain(), ElementsAre(11, 21, 2));
}

TEST_F(WaitQueueTest, ATenantWithManyDoesNotHoldUpOneWithFew) {
  for (int i = 0; i < 1000; ++i) Push("busy", 1);
  Push("quiet", 2);
  ServeOne();
  EXPECT_EQ(ServeOne(), 2);
}

TEST_F(WaitQueueTest, KnowsWhoseWaitEndsFirst) {
  EXPECT_EQ(queue_.EarliestDeadline(), std::nullopt);
  Push("a", 1);
  Waiter soon = WaiterOf("b", 1);
  soon.deadline = At(20);
  const int64_t second = queue_.Push(soon, now_);
  EXPECT_EQ(queue_.EarliestDeadline(), (DeadlineQueue::Entry{At(20), second}));
}

TEST_F(WaitQueueTest, HigherClassesComeFirstWithinATenantAndBetweenTenants) {
  Push("a", 1, 0);
  Push("a", 2, 2);
  Push("b", 11, 1);
  Push("c", 21, -2);
  EXPECT_THAT(Drain(), ElementsAre(2, 11, 1, 21));
}

// A class is worth ten seconds of waiting.
TEST_F(WaitQueueTest, WhoHasWaitedCountsAsOneClassHigher) {
  Push("old", 1, 0);
  After(9);
  Push("new", 2, 1);
  EXPECT_EQ(queue_.At(*queue_.Front()).needed, Blocks(2));
  EXPECT_EQ(queue_.EarliestPromotion(), At(10));
  After(1);
  EXPECT_EQ(queue_.At(*queue_.Front()).needed, Blocks(1)) << "of one class, and its turn is older";
  Push("newest", 3, 2);
  After(8);
  EXPECT_EQ(queue_.At(*queue_.Front()).needed, Blocks(3));
  After(1);
  EXPECT_EQ(queue_.At(*queue_.Front()).needed, Blocks(2)) << "of the highest class since now";
  After(1);
  EXPECT_THAT(Drain(), ElementsAre(1, 2, 3)) << "all of one class";
}

TEST_F(WaitQueueTest, WithinATenantAClassIsWorthSoMuchWaitingToo) {
  Push("a", 1, 0);
  After(9);
  Push("a", 2, 1);
  After(2);
  Push("a", 3, 1);
  EXPECT_THAT(Drain(), ElementsAre(2, 1, 3)) << "the last came eleven seconds after the first";
}

TEST_F(WaitQueueTest, WhoIsAsideKeepsItsTurnAndHoldsUpNobody) {
  Push("a", 1);
  Push("a", 2, 2);
  Push("b", 11);
  queue_.StepAside("a");
  queue_.CheckInvariants();
  EXPECT_EQ(queue_.blocks(), Blocks(11));
  EXPECT_EQ(ServeOne(), 11);
  EXPECT_TRUE(queue_.all_aside());
  EXPECT_EQ(queue_.Front(), std::nullopt);
  EXPECT_TRUE(queue_.Anyone().has_value());
  Push("b", 12);
  queue_.Return("a");
  queue_.Return("a");
  EXPECT_THAT(Drain(), ElementsAre(2, 12, 1));
}

TEST_F(WaitQueueTest, AnotherFirstCallerBringsATenantBack) {
  const int64_t large = Push("a", 9);
  Push("a", 1);
  queue_.StepAside("a");
  Push("a", 2);
  EXPECT_TRUE(queue_.all_aside()) << "it is behind";
  queue_.Remove(large);
  EXPECT_EQ(queue_.At(*queue_.Front()).needed, Blocks(1));
  queue_.StepAside("a");
  Push("a", 3, 1);
  EXPECT_EQ(queue_.At(*queue_.Front()).needed, Blocks(3));
}

TEST_F(WaitQueueTest, EachPurseHasAFrontOfItsOwn) {
  Push("a", 1, 0, 1);
  Push("b", 11, 1, 0);
  Push("c", 21, 0, 0);
  EXPECT_EQ(queue_.At(*queue_.FrontOf(1)).needed, Blocks(1));
  EXPECT_EQ(queue_.At(*queue_.FrontOf(0)).needed, Blocks(11));
  EXPECT_EQ(queue_.FrontOf(2), std::nullopt);
  EXPECT_EQ(queue_.TakeStirred(), std::optional<size_t>(0));
  EXPECT_EQ(queue_.TakeStirred(), std::optional<size_t>(1));
  EXPECT_EQ(queue_.TakeStirred(), std::nullopt);
  ServeOne();
  EXPECT_EQ(queue_.TakeStirred(), std::optional<size_t>(0)) << "its front is another";
}

TEST_F(WaitQueueTest, ANewcomerIsFirstWhereNobodyOfItsClassOrAHigherOneWaits) {
  EXPECT_TRUE(AheadOf("b", -2).first);
  Push("a", 5, 0, 1);
  EXPECT_FALSE(AheadOf("b", 0).first);
  EXPECT_EQ(AheadOf("b", 0).in_round, Blocks(5));
  EXPECT_EQ(AheadOf("b", 0).of_tenant, Blocks(0));
  EXPECT_TRUE(AheadOf("b", 0).first_of_purse) << "who waits is of another purse";
  EXPECT_TRUE(AheadOf("b", 1).first);
  EXPECT_EQ(AheadOf("b", 1).in_round, Blocks(0));
  EXPECT_FALSE(AheadOf("a", 0, 1).first) << "its own tenant waits";
  EXPECT_EQ(AheadOf("a", 0, 1).of_tenant, Blocks(5));
  EXPECT_TRUE(AheadOf("a", 1, 1).first);
  After(10);
  EXPECT_FALSE(AheadOf("b", 1).first) << "who waits has aged";
  EXPECT_FALSE(AheadOf("a", 1, 1).first);
}

// What the header promises, for any load: nobody who arrives (difference of classes) x step later
// than a caller of the same tenant is served before it; and once a caller is of the highest class,
// each tenant has at most one turn with it and with each of those ahead of it in its line.
TEST_F(WaitQueueTest, NobodyIsPassedMoreOftenThanPromised) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const auto upto = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n + 1));
  };
  constexpr int64_t kTenants = 4;
  struct Waiting {
    std::string tenant;
    int priority;
    Instant arrived;
    bool bounded = false;  // once it is in the highest class:
    int64_t bound = 0;     // grants to others that it may still see
  };
  std::map<int64_t, Waiting> waiting;
  for (int step = 0; step < 20000; ++step) {
    if (upto(1) == 0 || waiting.size() < 5) {
      const std::string tenant(1, static_cast<char>('a' + std::min(upto(5), kTenants - 1)));
      const int priority = static_cast<int>(upto(4)) - 2;
      waiting[Push(tenant, 1, priority)] = {tenant, priority, now_};
    }
    After(upto(2));
    for (auto& [ticket, who] : waiting) {
      if (who.bounded || now_ - who.arrived < (kHighestPriority - who.priority) * kStep) continue;
      int64_t ahead = 0;
      for (const auto& [other, another] : waiting) {
        ahead += another.tenant == who.tenant && other != ticket ? 1 : 0;
      }
      who.bounded = true;
      who.bound = (ahead + 1) * kTenants;
    }
    if (waiting.size() < 40 && upto(2) != 0) continue;
    const int64_t ticket = *queue_.Front();
    const Waiting served = waiting.at(ticket);
    queue_.Serve(ticket);
    waiting.erase(ticket);
    for (auto& [other, who] : waiting) {
      if (who.bounded) --who.bound;
      ASSERT_GE(who.bound, 0) << "step " << step;
      if (who.tenant != served.tenant) continue;
      const Duration later = served.arrived - who.arrived;
      ASSERT_LE(later, std::max(0, served.priority - who.priority) * kStep) << "step " << step;
    }
  }
}

TEST(WaitQueueDeathTest, OnlyWhoWaitsIsServed) {
  WaitQueue queue(kStep, 1);
  EXPECT_EQ(queue.Front(), std::nullopt);
  EXPECT_DEATH(queue.Serve(1), "check failed");
}

}  // namespace
}  // namespace plimsoll
