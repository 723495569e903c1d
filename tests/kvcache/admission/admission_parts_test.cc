// The parts of admission, each by itself.
#include <gmock/gmock.h>

#include "kvcache/admission/deadline_queue.h"
#include "kvcache/admission/never_evict.h"
#include "kvcache/admission/reservation_book.h"
#include "kvcache/admission/return_rate.h"
#include "kvcache/admission/wait_queue.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

Instant At(int64_t second) { return Instant(seconds(second)); }

TEST(DeadlineQueue, GivesTheEarliestAndTiesToTheLowerNumber) {
  DeadlineQueue queue;
  EXPECT_EQ(queue.Earliest(), std::nullopt);
  queue.Set(2, At(5));
  queue.Set(1, At(5));
  queue.Set(3, At(9));
  EXPECT_EQ(queue.Earliest(), (DeadlineQueue::Entry{At(5), 1}));
  queue.Set(1, At(10));  // in place of the first
  EXPECT_EQ(queue.size(), 3);
  EXPECT_THAT(std::vector<DeadlineQueue::Entry>(queue.begin(), queue.end()),
              ElementsAre(DeadlineQueue::Entry{At(5), 2}, DeadlineQueue::Entry{At(9), 3},
                          DeadlineQueue::Entry{At(10), 1}));
  queue.Remove(2);
  queue.Remove(2);
  EXPECT_FALSE(queue.Has(2));
  EXPECT_EQ(queue.Earliest(), (DeadlineQueue::Entry{At(9), 3}));
}

AdmissionView ViewOf(int64_t free, int64_t ahead) {
  return {.total = Blocks(100),
          .free = Blocks(free),
          .ahead = Blocks(ahead),
          .block_tokens = Tokens(16),
          .max_context = Tokens(1000),
          .draining = false};
}

TEST(NeverEvict, DecidesFromTheViewAlone) {
  EXPECT_EQ(DecideNeverEvict(ViewOf(2, 0), Tokens(32)).decision, Decision::kAdmitted);
  EXPECT_EQ(DecideNeverEvict(ViewOf(2, 0), Tokens(33)).missing, Blocks(1));
  EXPECT_EQ(DecideNeverEvict(ViewOf(2, 3), Tokens(16)).missing, Blocks(2));
  EXPECT_EQ(DecideNeverEvict(ViewOf(100, 0), Tokens(1000)).decision, Decision::kAdmitted);
  EXPECT_EQ(DecideNeverEvict(ViewOf(100, 0), Tokens(1001)).binding_term, "context");
  AdmissionView wide = ViewOf(100, 0);
  wide.max_context = Tokens(2000);
  EXPECT_EQ(DecideNeverEvict(wide, Tokens(1600)).decision, Decision::kAdmitted);
  EXPECT_EQ(DecideNeverEvict(wide, Tokens(1601)).binding_term, "pool");
  EXPECT_EQ(DecideNeverEvict(wide, Tokens(5000)).binding_term, "pool") << "the tighter of both";
}

TEST(ReturnRate, NeedsSomethingToGoBy) {
  ReturnRate rate(At(0));
  EXPECT_EQ(rate.TimeFor(Blocks(1), At(10)), std::nullopt);
  rate.Add(Blocks(1), At(10));
  EXPECT_NE(rate.TimeFor(Blocks(1), At(10)), std::nullopt);
  EXPECT_EQ(rate.TimeFor(Blocks(1), At(40)), std::nullopt) << "it has faded";
}

TEST(ReturnRate, FindsASteadyRateFromTheStart) {
  ReturnRate rate(At(0));
  for (int i = 1; i <= 100; ++i) {  // ten blocks a second
    rate.Add(Blocks(10), At(i));
    const Duration time = *rate.TimeFor(Blocks(50), At(i));
    EXPECT_GE(time, milliseconds(4800)) << i;
    EXPECT_LE(time, milliseconds(5100)) << i;
  }
}

TEST(ReturnRate, FollowsAChangeOfPace) {
  ReturnRate rate(At(0));
  for (int i = 1; i <= 100; ++i) rate.Add(Blocks(10), At(i));
  for (int i = 101; i <= 250; ++i) rate.Add(Blocks(1), At(i));
  EXPECT_GT(*rate.TimeFor(Blocks(10), At(250)), seconds(8));
}

TEST(ReturnRate, AnyNumberOfBlocksHasAnAnswer) {
  ReturnRate rate(At(0));
  rate.Add(Blocks(1), At(1));
  EXPECT_EQ(rate.TimeFor(Blocks(INT64_MAX), At(1)), seconds(3600));
}

Waiter WaiterOf(const std::string& tenant, int64_t needed, int64_t deadline = 100) {
  return {.request = {.tenant = tenant, .prompt_tokens = Tokens(1), .max_new_tokens = Tokens(0)},
          .needed = Blocks(needed),
          .deadline = At(deadline),
          .done = [](const Answer&) {}};
}

std::vector<int64_t> Drain(WaitQueue& queue) {
  std::vector<int64_t> needed;
  while (queue.Front() != nullptr) {
    queue.CheckInvariants();
    needed.push_back(queue.PopFront().needed.value());
  }
  return needed;
}

TEST(WaitQueue, TenantsTakeTurns) {
  WaitQueue queue;
  for (const int64_t n : {1, 2, 3}) queue.Push(WaiterOf("a", n));
  for (const int64_t n : {11, 12}) queue.Push(WaiterOf("b", n));
  EXPECT_EQ(queue.blocks(), Blocks(29));
  EXPECT_THAT(Drain(queue), ElementsAre(1, 11, 2, 12, 3));
  EXPECT_EQ(queue.blocks(), Blocks(0));
}

TEST(WaitQueue, LeavingTheLineDoesNotCostTheTenantItsTurn) {
  WaitQueue queue;
  const int64_t first = queue.Push(WaiterOf("a", 1));
  queue.Push(WaiterOf("a", 2));
  queue.Push(WaiterOf("b", 11));
  EXPECT_TRUE(queue.Remove(first).has_value());
  EXPECT_FALSE(queue.Remove(first).has_value());
  EXPECT_THAT(Drain(queue), ElementsAre(2, 11));
}

TEST(WaitQueue, ATenantThatComesBackGoesToTheEndOfTheRound) {
  WaitQueue queue;
  queue.Push(WaiterOf("a", 1));
  queue.Push(WaiterOf("b", 11));
  queue.Push(WaiterOf("c", 21));
  queue.PopFront();
  queue.Push(WaiterOf("a", 2));
  EXPECT_THAT(Drain(queue), ElementsAre(11, 21, 2));
}

TEST(WaitQueue, ATenantWithManyDoesNotHoldUpOneWithFew) {
  WaitQueue queue;
  for (int i = 0; i < 1000; ++i) queue.Push(WaiterOf("busy", 1));
  queue.Push(WaiterOf("quiet", 2));
  queue.PopFront();
  EXPECT_EQ(queue.PopFront().request.tenant, "quiet");
}

TEST(WaitQueue, KnowsWhoseWaitEndsFirst) {
  WaitQueue queue;
  EXPECT_EQ(queue.EarliestDeadline(), std::nullopt);
  queue.Push(WaiterOf("a", 1, 50));
  const int64_t second = queue.Push(WaiterOf("b", 1, 20));
  EXPECT_EQ(queue.EarliestDeadline(), (DeadlineQueue::Entry{At(20), second}));
}

TEST(WaitQueueDeathTest, AnEmptyQueueHasNoFront) {
  WaitQueue queue;
  EXPECT_EQ(queue.Front(), nullptr);
  EXPECT_DEATH(queue.PopFront(), "check failed");
}

ReservationRequest NamedRequest(const std::string& id) {
  return {.request_id = id, .prompt_tokens = Tokens(1), .max_new_tokens = Tokens(0)};
}

TEST(ReservationBook, KeepsTheHeldAndForgetsTheEndedInOrder) {
  ReservationBook book(Bytes(1 << 20));
  ReservationRecord& first = book.Add(NamedRequest("r"), Reservation{});
  ReservationRecord& second = book.Add(NamedRequest({}), Reservation{});
  EXPECT_EQ(first.number, 1);
  EXPECT_EQ(book.held(), 2);
  book.End(second, At(10));
  book.End(first, At(20));
  EXPECT_EQ(book.held(), 0);
  book.Forget(At(69));
  EXPECT_NE(book.Find(2), nullptr);
  book.Forget(At(70));
  EXPECT_EQ(book.Find(2), nullptr);
  EXPECT_NE(book.FindRequest(NamedRequest("r")), nullptr);
  book.Forget(At(80));
  EXPECT_EQ(book.FindRequest(NamedRequest("r")), nullptr);
  EXPECT_EQ(book.bytes(), Bytes(0));
}

TEST(ReservationBookDeathTest, EndingTwiceAborts) {
  ReservationBook book(Bytes(1 << 20));
  ReservationRecord& record = book.Add(NamedRequest("r"), Reservation{});
  book.End(record, At(1));
  EXPECT_DEATH(book.End(record, At(2)), "check failed");
}

}  // namespace
}  // namespace plimsoll
