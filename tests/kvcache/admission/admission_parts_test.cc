// The parts of admission, each by itself.
#include <gmock/gmock.h>

#include "kvcache/admission/deadline_queue.h"
#include "kvcache/admission/never_evict.h"
#include "kvcache/admission/reservation_book.h"
#include "kvcache/admission/return_rate.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

Instant At(int64_t second) { return Instant(seconds(second)); }

TEST(DeadlineQueue, GivesTheEarliestAndTiesToTheLowerNumber) {
  DeadlineQueue queue;
  DeadlineQueue::Place first, second, third;
  EXPECT_EQ(queue.Earliest(), std::nullopt);
  queue.Set(2, second, At(5));
  queue.Set(1, first, At(5));
  queue.Set(3, third, At(9));
  EXPECT_EQ(queue.Earliest(), (DeadlineQueue::Entry{At(5), 1}));
  queue.Set(1, first, At(10));  // in place of the first
  EXPECT_EQ(queue.size(), 3);
  EXPECT_THAT(std::vector<DeadlineQueue::Entry>(queue.begin(), queue.end()),
              ElementsAre(DeadlineQueue::Entry{At(5), 2}, DeadlineQueue::Entry{At(9), 3},
                          DeadlineQueue::Entry{At(10), 1}));
  EXPECT_TRUE(queue.Holds(2, second));
  EXPECT_FALSE(queue.Holds(4, second)) << "another's place";
  queue.Remove(2, second);
  queue.Remove(2, second);
  EXPECT_FALSE(queue.Holds(2, second));
  EXPECT_EQ(queue.Earliest(), (DeadlineQueue::Entry{At(9), 3}));
}

AdmissionView ViewOf(int64_t free, int64_t ahead) {
  return {.total = Blocks(100),
          .most_ever = Blocks(100),
          .free = Blocks(free),
          .own = Blocks(0),
          .left = Blocks(100),
          .ahead = {.first = ahead == 0, .in_round = Blocks(ahead)},
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
  EXPECT_EQ(DecideNeverEvict(wide, Tokens(5000)).reason, Reason::kNeverFits);
}

TEST(NeverEvict, ATenantsOwnBlocksWaitForNobodyAndItsMaximumHoldsAlways) {
  AdmissionView view = ViewOf(5, 7);  // five are free to it, and those who wait need seven
  EXPECT_EQ(DecideNeverEvict(view, Tokens(32)).missing, Blocks(4));
  view.own = Blocks(2);
  EXPECT_EQ(DecideNeverEvict(view, Tokens(32)).decision, Decision::kAdmitted);
  EXPECT_EQ(DecideNeverEvict(view, Tokens(33)).decision, Decision::kWait) << "more than its own";
  view.ahead.first_of_purse = false;
  EXPECT_EQ(DecideNeverEvict(view, Tokens(32)).decision, Decision::kWait) << "not first in line";
  view = ViewOf(5, 0);
  view.left = Blocks(3);
  EXPECT_EQ(DecideNeverEvict(view, Tokens(48)).decision, Decision::kAdmitted);
  EXPECT_EQ(DecideNeverEvict(view, Tokens(49)).reason, Reason::kTenantQuota);
  EXPECT_EQ(DecideNeverEvict(view, Tokens(49)).missing, Blocks(1));
  EXPECT_EQ(DecideNeverEvict(view, Tokens(200)).missing, Blocks(10)) << "13, and 3 are left";
  view.most_ever = Blocks(20);
  EXPECT_EQ(DecideNeverEvict(view, Tokens(320)).decision, Decision::kWait);
  const Verdict never = DecideNeverEvict(view, Tokens(321));
  EXPECT_EQ(never.reason, Reason::kTenantLimit);
  EXPECT_EQ(never.binding_term, "tenant");
  EXPECT_EQ(never.largest_fit, Tokens(320));
}

TEST(NeverEvict, WhoIsNotFirstWaitsThoughItWouldFit) {
  AdmissionView view = ViewOf(50, 1);
  EXPECT_EQ(DecideNeverEvict(view, Tokens(16)).decision, Decision::kWait);
  EXPECT_EQ(DecideNeverEvict(view, Tokens(16)).missing, Blocks(1)) << "one, for want of another";
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

ReservationRequest NamedRequest(const std::string& id) {
  return {.request_id = id, .prompt_tokens = Tokens(1), .max_new_tokens = Tokens(0)};
}

TEST(ReservationBook, KeepsTheHeldAndForgetsTheEndedInOrder) {
  ReservationBook book(Bytes(1 << 20));
  ReservationRecord& first = book.Add(NamedRequest("r"), Terms{});
  ReservationRecord& second = book.Add(NamedRequest({}), Terms{});
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
  ReservationRecord& record = book.Add(NamedRequest("r"), Terms{});
  book.End(record, At(1));
  EXPECT_DEATH(book.End(record, At(2)), "check failed");
}

}  // namespace
}  // namespace plimsoll
