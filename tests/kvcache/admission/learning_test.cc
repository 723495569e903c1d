// After a restart: newcomers wait while holders claim what an earlier life gave them.
#include <gmock/gmock.h>

#include <map>
#include <random>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

ReservationClaim ClaimOf(std::string id, int64_t blocks, std::string tenant = {}) {
  return {.id = std::move(id),
          .tenant = std::move(tenant),
          .prompt_tokens = Tokens(16 * blocks),
          .max_new_tokens = Tokens(0)};
}

// 10 blocks of 16 tokens, the second life, which learns for a lease of 30 s.
class LearningTest : public AdmissionTest {
 protected:
  LearningTest() { Restart({.epoch = "e2", .learning = Learning::kAlways}); }

  Reservation Claim(const ReservationClaim& claim) {
    const Reservation reservation = Must(admission_->Claim(claim));
    admission_->CheckInvariants();
    return reservation;
  }
  absl::Status Lost(const ReservationClaim& claim) {
    const absl::Status status = admission_->Claim(claim).status();
    admission_->CheckInvariants();
    return status;
  }
};

TEST_F(LearningTest, NewcomersWaitForOneLeaseAndHoldersGetBackWhatTheyHad) {
  const Refusal refusal = Refused(RequestOf(16, 0));
  EXPECT_EQ(refusal.decision, Decision::kWait);
  EXPECT_EQ(refusal.reason, Reason::kLearning);
  EXPECT_EQ(refusal.retry_after, seconds(30));
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(0));

  const Reservation held = Claim(ClaimOf("e1-17", 6));
  EXPECT_EQ(held.id, "e2-1");
  EXPECT_EQ(held.epoch, "e2");
  EXPECT_EQ(held.claimed_id, "e1-17");
  EXPECT_EQ(held.blocks, Blocks(6));
  EXPECT_TRUE(held.confirmed) << "who claims lives";
  EXPECT_EQ(free(), Blocks(4));

  After(seconds(20));
  EXPECT_EQ(Refused(RequestOf(16, 0)).retry_after, seconds(10));
  EXPECT_TRUE(admission_->Renew(held.id).ok());
  EXPECT_EQ(*admission_->NextDeadline(), clock_.Now() + seconds(10));
  After(seconds(10));
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(4));
  EXPECT_TRUE(IsAdmitted(Must(Ask(4))));
}

TEST_F(LearningTest, NobodyIsToldNeverLaterThanAtOnce) {
  EXPECT_EQ(Refused(RequestOf(16 * 11, 0)).decision, Decision::kNever);
}

TEST_F(LearningTest, TheSameClaimGivesTheSameReservation) {
  EXPECT_EQ(Claim(ClaimOf("e1-17", 6)).id, "e2-1");
  EXPECT_EQ(Claim(ClaimOf("e1-17", 6)).id, "e2-1");
  EXPECT_EQ(admission_->Snapshot().reservations, 1);
  After(seconds(30));
  EXPECT_TRUE(absl::IsNotFound(Lost(ClaimOf("e1-17", 6)))) << "its lease was over";
  EXPECT_TRUE(absl::IsFailedPrecondition(Lost(ClaimOf("e1-18", 6)))) << "it learns no more";
}

TEST_F(LearningTest, AClaimIsASignOfLife) {
  Claim(ClaimOf("e1-17", 6));
  After(seconds(29));
  Claim(ClaimOf("e1-17", 6));
  After(seconds(29));
  EXPECT_EQ(admission_->Snapshot().reservations, 1);
  After(seconds(1));
  EXPECT_EQ(admission_->Snapshot().reservations, 0);
}

TEST_F(LearningTest, ClaimsNeverPromiseMoreThanThereIs) {
  Claim(ClaimOf("e1-1", 6));
  const absl::Status lost = Lost(ClaimOf("e1-2", 5));
  EXPECT_TRUE(absl::IsResourceExhausted(lost));
  EXPECT_EQ(lost.message(), "no room for the claim of e1-2: 1 of its 5 blocks are missing");
  EXPECT_EQ(Lost(ClaimOf("e1-3", 11)).message(),
            "no room for the claim of e1-3: at most 160 tokens fit an empty pool");
  Claim(ClaimOf("e1-4", 4));
  EXPECT_EQ(free(), Blocks(0));
}

TEST_F(LearningTest, AClaimIsItsTenantsAndWithinItsMaximum) {
  Restart({.epoch = "e2",
           .quotas = {.tenants = {{"one", {.guaranteed = Blocks(4)}},
                                  {"two", {.guaranteed = Blocks(0), .most = Blocks(3)}}}},
           .learning = Learning::kAlways});
  EXPECT_TRUE(absl::IsResourceExhausted(Lost(ClaimOf("e1-1", 4, "two"))));
  EXPECT_TRUE(absl::IsResourceExhausted(Lost(ClaimOf("e1-2", 7, "none")))) << "kept for one";
  Claim(ClaimOf("e1-3", 3, "two"));
  EXPECT_TRUE(absl::IsNotFound(Lost(ClaimOf("e1-3", 3, "one")))) << "another tenant's";
  Claim(ClaimOf("e1-4", 4, "one"));
}

TEST_F(LearningTest, WhatWasReleasedIsNotGivenAgain) {
  const Reservation held = Claim(ClaimOf("e1-1", 6));
  EXPECT_TRUE(admission_->Release(held.id).ok());
  EXPECT_TRUE(absl::IsNotFound(Lost(ClaimOf("e1-1", 6))));
  EXPECT_EQ(free(), Blocks(10));
}

TEST_F(LearningTest, AnIdOfThisLifeIsRenewedAndNonsenseIsNotFound) {
  const std::string id = Claim(ClaimOf("e1-1", 6)).id;
  After(seconds(20));
  EXPECT_EQ(Claim(ClaimOf(id, 6)).id, id);
  EXPECT_EQ(admission_->Get(id)->expires, clock_.Now() + seconds(30));
  EXPECT_TRUE(absl::IsNotFound(Lost(ClaimOf("nonsense", 1))));
  EXPECT_TRUE(absl::IsNotFound(Lost(ClaimOf("e2-99", 1))));
  EXPECT_TRUE(absl::IsInvalidArgument(Lost(ClaimOf(std::string(129, 'e'), 1))));
  EXPECT_TRUE(absl::IsInvalidArgument(Lost(ClaimOf("e1-2", 0))));
}

TEST_F(LearningTest, WhoWaitsIsServedWhenItHasLearned) {
  Queue("patient", 4);
  Queue("brief", 1, {}, seconds(10));
  Claim(ClaimOf("e1-1", 6));
  After(seconds(10));
  EXPECT_THAT(Answered(), testing::ElementsAre("brief:WAIT_TIMEOUT"));
  EXPECT_TRUE(admission_->Renew("e2-1").ok());
  After(seconds(19));
  EXPECT_EQ(answers_.size(), 1u);
  After(seconds(1));
  EXPECT_THAT(Answered(), testing::ElementsAre("brief:WAIT_TIMEOUT", "patient"));
}

// It asked in the first life, lost the answer and asks again, as another part of it claims.
TEST_F(LearningTest, ARepeatOfTheRequestGetsWhatWasClaimed) {
  ReservationRequest repeat = RequestOf(16 * 6, 0, "t");
  repeat.request_id = "r";
  repeat.priority = 2;
  ReservationClaim claim = ClaimOf("e1-1", 6, "t");
  claim.request_id = "r";
  Must(admission_->ReserveOrWait(repeat, seconds(100), [this](const Answer& answer) {
    answers_.emplace_back("repeat", answer);
  }));
  const std::string id = Claim(claim).id;
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(std::get<Reservation>(answers_[0].second).id, id);
  EXPECT_EQ(std::get<Reservation>(Must(admission_->Reserve(repeat))).id, id);
  claim.id = "e1-2";
  const Reservation again = Claim(claim);
  EXPECT_EQ(again.id, id) << "one request is one reservation";
  EXPECT_EQ(again.claimed_id, "e1-2") << "as it was claimed by this caller";
  claim.id = id;
  EXPECT_EQ(Claim(claim).claimed_id, "e1-1");
  repeat.prompt_tokens = Tokens(1);
  EXPECT_TRUE(absl::IsInvalidArgument(admission_->Reserve(repeat).status()));
}

TEST_F(LearningTest, AClaimOfWhatNobodyCanHaveAnyMoreIsLost) {
  ReservationClaim claim = ClaimOf("e1-1", 2);
  claim.request_class = "gone";
  const absl::Status lost = Lost(claim);
  EXPECT_TRUE(absl::IsNotFound(lost));
  EXPECT_EQ(lost.message(),
            "no reservation e1-1: request_class=gone: want none, as this server has no classes");
  claim = ClaimOf("e1-2", 2);
  claim.ttl = seconds(3601);
  EXPECT_TRUE(absl::IsNotFound(Lost(claim)));
  claim.ttl = seconds(3600);
  Claim(claim);
}

// What looks free may be another's who has not claimed it yet.
TEST_F(LearningTest, AHolderGrowsOnlyWhenItHasLearned) {
  const std::string id = Claim(ClaimOf("e1-1", 6)).id;
  EXPECT_TRUE(IsAdmitted(Must(admission_->Extend(id, Tokens(16 * 6))))) << "a sign of life";
  const Answer answer = Must(admission_->Extend(id, Tokens(16 * 7)));
  EXPECT_EQ(std::get<Refusal>(answer).reason, Reason::kLearning);
  EXPECT_EQ(std::get<Refusal>(answer).retry_after, seconds(30));
  EXPECT_EQ(admission_->Get(id)->blocks, Blocks(6)) << "as it was";
  Claim(ClaimOf("e1-2", 4));
  After(seconds(29));
  EXPECT_TRUE(admission_->Renew(id).ok());
  After(seconds(1));
  EXPECT_TRUE(IsAdmitted(Must(admission_->Extend(id, Tokens(16 * 7)))));
}

TEST_F(LearningTest, DrainingIsSaidFirst) {
  admission_->SetDraining(true);
  EXPECT_EQ(Refused(RequestOf(16, 0)).reason, Reason::kDraining);
  Claim(ClaimOf("e1-1", 6));
}

TEST_F(LearningTest, ToldOfAnEarlierLifeItLearnsForWhatIsLeftOfALease) {
  Restart({.epoch = "e2", .learning = Learning::kWhenTold});
  EXPECT_TRUE(IsAdmitted(Must(Ask(2)))) << "nobody has told it";
  clock_.Advance(seconds(10));
  EXPECT_TRUE(absl::IsFailedPrecondition(admission_->Renew("e1-1").status()));
  EXPECT_EQ(Refused(RequestOf(16, 0)).retry_after, seconds(20));
  Claim(ClaimOf("e1-1", 6));
  After(seconds(20));
  EXPECT_TRUE(IsAdmitted(Must(Ask(3))));
  EXPECT_TRUE(absl::IsFailedPrecondition(Lost(ClaimOf("e1-2", 1)))) << "nobody holds that now";
  EXPECT_TRUE(IsAdmitted(Must(Ask(1))));
}

TEST_F(LearningTest, WhereMemoryDiedWithTheProcessOldIdsAreStale) {
  Restart({.epoch = "e2"});
  EXPECT_TRUE(absl::IsFailedPrecondition(Lost(ClaimOf("e1-1", 1))));
  EXPECT_TRUE(IsAdmitted(Must(Ask(1))));
}

// Claims in any order, repeated, of more than there is: what is claimed is a function of the old
// id, and what fits is decided by adding up.
TEST_F(LearningTest, AsANaiveLedgerSays) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const auto upto = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  for (int round = 0; round < 50; ++round) {
    admission_ = nullptr;
    cache_ = Must(KvCache::Create({.capacity = Blocks(60)}));
    Restart({.epoch = "e2", .learning = Learning::kAlways});
    std::map<std::string, int64_t> held;  // blocks by old id
    std::map<std::string, std::string> name;
    std::map<std::string, bool> over;
    int64_t used = 0;
    for (int step = 0; step < 60; ++step) {
      const int64_t old = upto(20);
      const std::string id = "e1-" + std::to_string(1 + old);
      const int64_t blocks = 1 + old % 7;
      if (upto(4) == 0 && held.contains(id)) {
        ASSERT_TRUE(admission_->Release(name.at(id)).ok());
        used -= held.at(id);
        held.erase(id);
        over[id] = true;
        continue;
      }
      const absl::StatusOr<Reservation> claimed = admission_->Claim(ClaimOf(id, blocks));
      if (over[id]) {
        ASSERT_TRUE(absl::IsNotFound(claimed.status())) << id;
      } else if (held.contains(id)) {
        ASSERT_EQ(claimed->id, name.at(id));
      } else if (used + blocks > 60) {
        ASSERT_TRUE(absl::IsResourceExhausted(claimed.status())) << id;
      } else {
        ASSERT_TRUE(claimed.ok()) << std::string(claimed.status().message());
        held[id] = blocks;
        name[id] = claimed->id;
        used += blocks;
      }
      ASSERT_EQ(cache_->counts().reserved, Blocks(used));
      admission_->CheckInvariants();
    }
  }
}

}  // namespace
}  // namespace plimsoll
