// Reasons, waits and ends of leases, counted where they are decided.
#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Tally = AdmissionTest;

TEST_F(Tally, EachRefusalIsCountedUnderItsReason) {
  const AdmissionTally& tally = admission_->tally();
  Refused(RequestOf(16 * 11, 0));
  Hold(10);
  Refused(RequestOf(16, 0));
  Refused(RequestOf(16, 0));
  Queue("late", 1, {}, seconds(1));
  After(seconds(2));
  admission_->SetDraining(true);
  Refused(RequestOf(16, 0));
  EXPECT_EQ(tally.refused(Reason::kNeverFits), 1);
  EXPECT_EQ(tally.refused(Reason::kNoFreeBlocks), 2);
  EXPECT_EQ(tally.refused(Reason::kWaitTimeout), 1);
  EXPECT_EQ(tally.refused(Reason::kDraining), 1);
  int64_t all = 0;
  for (size_t i = 0; i < AdmissionTally::kReasons; ++i) all += tally.refused(Reason(i));
  const AdmissionSnapshot now = admission_->Snapshot();
  EXPECT_EQ(all, now.refused_wait + now.refused_never);
}

TEST_F(Tally, AWaitIsCountedWhenItEndsHoweverItEnds) {
  const Reservation held = Must(admission_->Renew(Hold(10).id));
  const std::optional<int64_t> leaves = Queue("leaves", 1);
  Queue("served", 1);
  clock_.Advance(milliseconds(100));
  admission_->CancelWait(*leaves);
  clock_.Advance(milliseconds(200));
  EXPECT_EQ(admission_->tally().waits().total(), 1);
  ASSERT_TRUE(admission_->Release(held.id).ok());
  EXPECT_EQ(admission_->tally().waits().total(), 2);
  EXPECT_EQ(admission_->tally().waits().sum, milliseconds(400));
}

TEST_F(Tally, TheOldestWaitIsThatOfWhoCameFirst) {
  const Reservation held = Must(admission_->Renew(Hold(10).id));
  EXPECT_EQ(admission_->OldestWait(), std::nullopt);
  const Instant start = clock_.Now();
  const std::optional<int64_t> first = Queue("first", 1, "a");
  clock_.Advance(seconds(1));
  Queue("second", 1, "b");
  EXPECT_EQ(admission_->OldestWait(), start);
  admission_->CancelWait(*first);
  EXPECT_EQ(admission_->OldestWait(), start + seconds(1));
  ASSERT_TRUE(admission_->Release(held.id).ok());
  EXPECT_EQ(admission_->OldestWait(), std::nullopt);
}

TEST_F(Tally, ALeaseEndsUnconfirmedOrSilent) {
  Hold(1);
  const Reservation confirmed = Must(admission_->Renew(Hold(1).id));
  After(seconds(6));
  EXPECT_EQ(admission_->tally().expired_unconfirmed(), 1);
  EXPECT_EQ(admission_->tally().expired_silent(), 0);
  After(seconds(30));
  EXPECT_EQ(admission_->tally().expired_unconfirmed(), 1);
  EXPECT_EQ(admission_->tally().expired_silent(), 1);
  EXPECT_EQ(admission_->Snapshot().expired, 2);
}

}  // namespace
}  // namespace plimsoll
