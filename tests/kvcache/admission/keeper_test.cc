// Leases that somebody holds open, and what becomes of them.
#include <gmock/gmock.h>

#include <set>

#include "kvcache/admission/reservation_id.h"
#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class Keeper final : public LeaseKeeper {
 public:
  void Keeps(int64_t number) override { EXPECT_TRUE(kept.insert(number).second) << number; }
  void Ended(int64_t number, EndCause cause) override {
    EXPECT_EQ(kept.erase(number), 1u) << number;
    ended.emplace_back(number, cause);
  }

  std::set<int64_t> kept;
  std::vector<std::pair<int64_t, EndCause>> ended;
};

class KeeperTest : public AdmissionTest {
 protected:
  Reservation Reserve(int64_t blocks, Keeper& keeper, std::string request_id = {}) {
    ReservationRequest request = RequestOf(16 * blocks, 0);
    request.request_id = std::move(request_id);
    return std::get<Reservation>(Must(admission_->Reserve(request, &keeper)));
  }
  static std::pair<int64_t, EndCause> End(int64_t number, EndCause cause) {
    return {number, cause};
  }

  Keeper keeper_;
};

TEST_F(KeeperTest, NothingThatIsKeptEndsByItself) {
  const Reservation held = Reserve(4, keeper_);
  EXPECT_TRUE(held.confirmed);
  EXPECT_EQ(held.expires, clock_.Now() + held.ttl);
  EXPECT_THAT(keeper_.kept, ElementsAre(1));
  After(std::chrono::hours(100));
  EXPECT_EQ(admission_->Get(held.id)->expires, clock_.Now() + held.ttl);
  EXPECT_TRUE(admission_->Renew(held.id).ok()) << "harmless";
  EXPECT_TRUE(IsAdmitted(Must(admission_->Extend(held.id, Tokens(16 * 5)))));
  After(std::chrono::hours(100));
  EXPECT_EQ(free(), Blocks(5));
  EXPECT_TRUE(admission_->Release(held.id).ok());
  EXPECT_THAT(keeper_.ended, ElementsAre(End(1, EndCause::kReleased)));
  EXPECT_TRUE(admission_->Release(held.id).ok());
  EXPECT_EQ(keeper_.ended.size(), 1u);
}

TEST_F(KeeperTest, WhatIsLetGoLivesAsLongAsItsKeeperSays) {
  Reserve(4, keeper_);
  Reserve(2, keeper_);
  admission_->LetGo(1, keeper_, seconds(7));
  admission_->LetGo(2, keeper_, seconds(8));
  admission_->LetGo(2, keeper_, seconds(100));
  admission_->CheckInvariants();
  EXPECT_EQ(*admission_->NextDeadline(), clock_.Now() + seconds(7));
  After(seconds(7));
  EXPECT_THAT(keeper_.ended, ElementsAre(End(1, EndCause::kExpired)));
  EXPECT_EQ(Must(admission_->Keep("e1-2", keeper_)).blocks, Blocks(2));
  After(seconds(100));
  EXPECT_EQ(free(), Blocks(8)) << "taken up again";
  EXPECT_THAT(keeper_.kept, ElementsAre(2));
  EXPECT_TRUE(absl::IsNotFound(admission_->Keep("e1-1", keeper_).status()));
}

TEST_F(KeeperTest, ARenewalGivesWhatWasLetGoItsOwnLease) {
  Reserve(4, keeper_);
  admission_->LetGo(1, keeper_, seconds(7));
  After(seconds(6));
  EXPECT_TRUE(admission_->Renew("e1-1").ok());
  After(seconds(29));
  EXPECT_EQ(free(), Blocks(6));
  After(seconds(1));
  EXPECT_THAT(keeper_.ended, ElementsAre(End(1, EndCause::kExpired)));
}

TEST_F(KeeperTest, WhoIsForsakenIsNotTold) {
  {
    Keeper brief;
    Reserve(4, brief);
    Reserve(3, brief);
    admission_->LetGo(2, brief, seconds(3));
    admission_->Forsake(1, brief);
    admission_->Forsake(2, brief);
    admission_->Forsake(99, brief);
  }
  After(seconds(3));
  EXPECT_EQ(free(), Blocks(6));
  After(seconds(27));
  EXPECT_EQ(free(), Blocks(10)) << "its lease ran for its ttl";
}

TEST_F(KeeperTest, AnotherKeeperTakesOver) {
  Keeper other;
  Reserve(4, keeper_, "r");
  EXPECT_EQ(Reserve(4, other, "r").id, "e1-1") << "a repeat";
  EXPECT_THAT(keeper_.ended, ElementsAre(End(1, EndCause::kTakenOver)));
  EXPECT_THAT(other.kept, ElementsAre(1));
  admission_->LetGo(1, keeper_, seconds(1));
  admission_->Forsake(1, keeper_);
  After(seconds(100));
  EXPECT_EQ(free(), Blocks(6)) << "the first has no more say";
  EXPECT_TRUE(admission_->Keep("e1-1", keeper_).ok());
  EXPECT_THAT(other.ended, ElementsAre(End(1, EndCause::kTakenOver)));
}

TEST_F(KeeperTest, WhatWasGrantedOtherwiseMayBeKept) {
  const Reservation held = Hold(4);
  EXPECT_TRUE(Must(admission_->Keep(held.id, keeper_)).confirmed);
  After(seconds(100));
  EXPECT_EQ(free(), Blocks(6));
}

TEST_F(KeeperTest, WhoWaitedIsKeptToo) {
  const Reservation all = Hold(10);
  Must(admission_->ReserveOrWait(
      RequestOf(16, 0), seconds(3), [this](const Answer& a) { answers_.emplace_back("one", a); },
      &keeper_));
  EXPECT_THAT(keeper_.kept, IsEmpty());
  EXPECT_TRUE(admission_->Release(all.id).ok());
  EXPECT_THAT(Answered(), ElementsAre("one"));
  EXPECT_TRUE(std::get<Reservation>(answers_[0].second).confirmed);
  After(seconds(100));
  EXPECT_THAT(keeper_.kept, ElementsAre(2));
}

TEST_F(KeeperTest, ARepeatOfAnEndedRequestKeepsNothing) {
  Reserve(4, keeper_, "r");
  EXPECT_TRUE(admission_->Release("e1-1").ok());
  Reserve(4, keeper_, "r");
  EXPECT_THAT(keeper_.kept, IsEmpty());
}

TEST_F(KeeperTest, ASequenceRunsOnAndItsEndIsHeard) {
  const Reservation held = Reserve(4, keeper_);
  ASSERT_TRUE(admission_->BeginSequence(held.id).ok());
  admission_->LetGo(1, keeper_, seconds(1));
  After(seconds(100));
  EXPECT_THAT(keeper_.ended, IsEmpty());
  admission_->EndSequence(held.id);
  EXPECT_THAT(keeper_.ended, ElementsAre(End(1, EndCause::kReleased)));
  admission_->CheckInvariants();
}

TEST_F(KeeperTest, AClaimMayBeKept) {
  Restart({.epoch = "e2", .learning = Learning::kAlways});
  const ReservationClaim claim{
      .id = "e1-1", .prompt_tokens = Tokens(64), .max_new_tokens = Tokens(0)};
  EXPECT_EQ(Must(admission_->Claim(claim, &keeper_)).id, "e2-1");
  After(seconds(100));
  EXPECT_THAT(keeper_.kept, ElementsAre(1));
}

}  // namespace
}  // namespace plimsoll
