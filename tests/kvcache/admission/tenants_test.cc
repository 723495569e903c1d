// Quotas, worked by hand: ten blocks of 16 tokens; "big" is guaranteed 4 and may hold 8, "small" is
// guaranteed 2 and may hold 3, and the others may hold 5 each.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TenantQuota Quota(int64_t guaranteed, int64_t most) {
  return {.guaranteed = Blocks(guaranteed), .most = Blocks(most)};
}

class TenantsTest : public AdmissionTest {
 protected:
  TenantsTest() {
    Use({.tenants = {{"big", Quota(4, 8)}, {"small", Quota(2, 3)}}, .others = Quota(0, 5)});
  }

  void Use(const Quotas& quotas) {
    admission_ = nullptr;
    Restart({.epoch = "e1", .confirm_window = Duration::zero(), .quotas = quotas});
  }
  Answer Ask(const std::string& tenant, int64_t blocks, int priority = 0) {
    ReservationRequest request = RequestOf(16 * blocks, 0, tenant);
    request.priority = priority;
    const Answer answer = Must(admission_->Reserve(request));
    admission_->CheckInvariants();
    return answer;
  }
  std::string Hold(const std::string& tenant, int64_t blocks) {
    return std::get<Reservation>(Ask(tenant, blocks)).id;
  }
  Refusal Refused(const std::string& tenant, int64_t blocks) {
    return std::get<Refusal>(Ask(tenant, blocks));
  }
  void Release(const std::string& id) { EXPECT_TRUE(admission_->Release(id).ok()); }
  TenantUse UseOf(const std::string& tenant) const {
    for (const TenantUse& use : admission_->Tenants()) {
      if (use.tenant == tenant) return use;
    }
    return {};
  }
};

TEST_F(TenantsTest, WhatOthersHaveNotUsedOfTheirMinimumIsKeptForThem) {
  Hold("x", 4);
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(0)) << "6 are free, and 6 are kept";
  EXPECT_EQ(Refused("y", 1).reason, Reason::kNoFreeBlocks);
  EXPECT_EQ(Refused("y", 1).missing, Blocks(1));
  const std::string big = Hold("big", 4);
  EXPECT_EQ(Refused("big", 1).reason, Reason::kNoFreeBlocks) << "the last two are small's";
  Hold("small", 2);
  Release(big);
  EXPECT_EQ(Refused("y", 1).missing, Blocks(1)) << "given back, and kept again";
  EXPECT_TRUE(IsAdmitted(Ask("big", 4)));
}

TEST_F(TenantsTest, BeyondItsMinimumATenantBorrowsUpToItsMaximum) {
  const std::string first = Hold("big", 4);
  Hold("big", 4);
  const Refusal refusal = Refused("big", 1);
  EXPECT_EQ(refusal.decision, Decision::kWait);
  EXPECT_EQ(refusal.reason, Reason::kTenantQuota);
  EXPECT_EQ(refusal.missing, Blocks(1));
  EXPECT_EQ(Refused("x", 1).reason, Reason::kNoFreeBlocks);
  Release(first);
  EXPECT_TRUE(IsAdmitted(Ask("x", 4))) << "what was borrowed is anybody's again";
}

TEST_F(TenantsTest, WhatATenantMayNeverHoldIsRefusedWithWhatItMay) {
  const Refusal most = Refused("small", 4);
  EXPECT_EQ(most.decision, Decision::kNever);
  EXPECT_EQ(most.reason, Reason::kTenantLimit);
  EXPECT_EQ(most.binding_term, "tenant");
  EXPECT_EQ(most.largest_fit, Tokens(48));
  EXPECT_EQ(Refused("x", 5).largest_fit, Tokens(64)) << "six of ten are guaranteed to others";
  EXPECT_EQ(Refused("big", 9).largest_fit, Tokens(128));
}

TEST_F(TenantsTest, ExtensionsObeyTheSame) {
  const std::string small = Hold("small", 1);
  const std::string x = Hold("x", 3);
  const auto extend = [&](const std::string& id, int64_t blocks) {
    return Must(admission_->Extend(id, Tokens(16 * blocks)));
  };
  EXPECT_TRUE(IsAdmitted(extend(x, 4)));
  EXPECT_EQ(std::get<Refusal>(extend(x, 5)).reason, Reason::kTenantLimit);
  EXPECT_TRUE(IsAdmitted(extend(small, 2))) << "its own";
  EXPECT_EQ(std::get<Refusal>(extend(small, 3)).reason, Reason::kNoFreeBlocks);
  EXPECT_EQ(std::get<Refusal>(extend(small, 4)).reason, Reason::kTenantLimit);
  Hold("big", 4);
  EXPECT_EQ(UseOf("small").blocks, Blocks(2));
}

TEST_F(TenantsTest, QuotasThatThePoolCannotHonourAreRefused) {
  const auto message = [&](const Quotas& quotas) {
    return std::string(
        AdmissionController::Create({.epoch = "e1", .quotas = quotas}, *cache_, clock_)
            .status()
            .message());
  };
  EXPECT_EQ(message({.tenants = {{"a", Quota(6, 9)}, {"b", Quota(5, 9)}}}),
            "quotas.b.guaranteed=5: want all guaranteed blocks together at most the pool's 10");
  EXPECT_EQ(message({.tenants = {{"a", Quota(6, 5)}}}),
            "quotas.a.most=5: want at least 1 and its guaranteed 6");
  EXPECT_THAT(message({.others = Quota(0, 0)}), HasSubstr("quotas.others.most=0"));
  EXPECT_THAT(message({.others = Quota(11, 12)}), HasSubstr("quotas.others.guaranteed=11"));
  EXPECT_EQ(message({.tenants = {{"a", Quota(5, 9)}}, .others = Quota(5, 5)}), "");
}

TEST_F(TenantsTest, ATenantAtItsMaximumStepsAsideAndKeepsItsTurn) {
  const std::string small = Hold("small", 3);
  Queue("small1", 1, "small");
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(3)) << "nobody waits for what is free";
  EXPECT_TRUE(IsAdmitted(Ask("x", 1)));
  const std::string x = Hold("x", 2);
  Queue("x2", 2, "x");
  Queue("small2", 1, "small");
  Queue("y1", 1, "y");
  EXPECT_THAT(Answered(), IsEmpty());
  Release(small);
  EXPECT_THAT(Answered(), ElementsAre("small1", "small2")) << "small's minimum is its own";
  Release(x);
  EXPECT_THAT(Answered(), ElementsAre("small1", "small2", "x2", "y1"));
}

TEST_F(TenantsTest, WhoNeedsOnlyItsOwnMinimumWaitsForNobodyElse) {
  Hold("x", 3);
  Queue("large", 4, "y");
  EXPECT_TRUE(IsAdmitted(Ask("big", 2))) << "though somebody waits for what is free to all";
  EXPECT_EQ(Refused("big", 3).reason, Reason::kNoFreeBlocks) << "that is more than its own";
  const std::string small = Hold("small", 2);
  Queue("small1", 2, "small");
  Release(small);
  EXPECT_THAT(Answered(), ElementsAre("small1"));
}

TEST_F(TenantsTest, TheOthersShareTheirMinimum) {
  Use({.tenants = {{"big", Quota(0, 10)}}, .others = Quota(3, 3)});
  EXPECT_EQ(Refused("big", 8).decision, Decision::kNever) << "three are never big's";
  Hold("big", 7);
  Hold("x", 2);
  EXPECT_EQ(Refused("y", 2).missing, Blocks(1)) << "x and y have three together";
  Hold("y", 1);
  EXPECT_EQ(UseOf("x").blocks + UseOf("y").blocks, Blocks(3));
}

TEST_F(TenantsTest, HigherPrioritiesAreServedFirstAndNewcomersPassLowerOnes) {
  Use({});
  const std::string all = Hold("x", 8);
  const auto queue = [&](const std::string& name, int64_t blocks, int priority) {
    ReservationRequest request = RequestOf(16 * blocks, 0, name);
    request.priority = priority;
    Must(admission_->ReserveOrWait(request, seconds(1000), [this, name](const Answer& answer) {
      answers_.emplace_back(name, answer);
    }));
  };
  queue("low", 3, -2);
  queue("middle", 3, 0);
  queue("high", 3, 2);
  EXPECT_FALSE(IsAdmitted(Ask("y", 1, 1)));
  EXPECT_FALSE(IsAdmitted(Ask("y", 1, 2))) << "one of its class waits";
  EXPECT_TRUE(admission_->Release(all).ok());
  EXPECT_THAT(Answered(), ElementsAre("high", "middle", "low"));
  queue("large", 9, 1);
  EXPECT_EQ(std::get<Refusal>(Ask("y", 1, 1)).missing, Blocks(9));
  EXPECT_TRUE(IsAdmitted(Ask("y", 1, 2))) << "nobody of its class waits";
  After(seconds(10));
  EXPECT_FALSE(IsAdmitted(Ask("z", 1, 2))) << "who waits has aged to its class";
}

TEST_F(TenantsTest, WhatIsCountedIsConservedAndReadable) {
  const std::string first = Hold("big", 2);
  After(seconds(1));
  const std::string second = Hold("x", 3);
  Refused("small", 9);
  Queue("big1", 7, "big");
  const TenantUse big = UseOf("big");
  EXPECT_EQ(big.quota.most, Blocks(8));
  EXPECT_EQ(big.blocks, Blocks(2));
  EXPECT_EQ(big.reservations, 1);
  EXPECT_EQ(big.waiting, 1);
  EXPECT_EQ(big.admitted, 1);
  EXPECT_EQ(UseOf("small").refused_never, 1);
  Must(admission_->BeginSequence(second));
  const HoldingPage first_page = admission_->HoldingsAfter(0, 1);
  const std::vector<Holding>& page = first_page.holdings;
  ASSERT_EQ(page.size(), 1u);
  EXPECT_EQ(page[0].id, first);
  EXPECT_EQ(page[0].tenant, "big");
  EXPECT_EQ(page[0].age, seconds(1));
  EXPECT_EQ(page[0].blocks, Blocks(2));
  EXPECT_EQ(page[0].state, HoldingState::kHeld);
  const std::vector<Holding> next = admission_->HoldingsAfter(*first_page.next, 10).holdings;
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].id, second);
  EXPECT_EQ(next[0].used, Blocks(0)) << "nothing is computed yet";
  EXPECT_EQ(next[0].state, HoldingState::kRunning);
  admission_->EndSequence(second);
  After(seconds(40));
  EXPECT_EQ(UseOf("big").expired, 1);
  EXPECT_EQ(UseOf("big").waited, 1) << "it got the room";
  EXPECT_EQ(UseOf("x").released, 1);
}

TEST_F(TenantsTest, WhoIsLongGoneIsForgottenButNotItsCounts) {
  for (int i = 0; i < 3000; ++i) Release(Hold("tenant" + std::to_string(i), 1));
  const std::vector<TenantUse> uses = admission_->Tenants();
  EXPECT_LT(uses.size(), 1100u);
  int64_t admitted = 0;
  for (const TenantUse& use : uses) admitted += use.admitted;
  EXPECT_EQ(admitted, 3000);
  EXPECT_EQ(uses.back().tenant, "");
  EXPECT_GT(uses.back().released, 1900);
}

// A prefix that is held counts once, from the first holder to the last.
TEST_F(TenantsTest, ASharedPrefixCountsOnceAndCachedBlocksCountForNobody) {
  admission_ = nullptr;
  cache_ = Must(KvCache::Create({.capacity = Blocks(10), .eviction = Eviction::kLru}));
  Use({.tenants = {{"big", Quota(4, 6)}}});
  const auto hold = [&](int64_t blocks) {
    ReservationRequest request = RequestOf(16 * blocks, 0, "big");
    for (int64_t i = 0; i < std::min<int64_t>(blocks, 3); ++i) {
      request.prefix_hashes.push_back(static_cast<uint64_t>(i));
    }
    const std::string id = std::get<Reservation>(Must(admission_->Reserve(request))).id;
    const SequenceId sequence = Must(admission_->BeginSequence(id));
    const Tokens more = Tokens(16 * blocks) - cache_->Length(sequence);
    if (more > Tokens(0)) cache_->Commit(*cache_->PlanAppend(sequence, more));
    const int64_t found = cache_->Found(sequence).value();
    const auto names = BlockNames::OfHashes(request.prefix_hashes);
    admission_->Name(id, names.Subrange(found, names.size() - found));
    return id;
  };
  const std::string first = hold(4);
  EXPECT_EQ(UseOf("big").blocks, Blocks(4));
  const std::string second = hold(5);
  EXPECT_EQ(UseOf("big").blocks, Blocks(6)) << "three are the first one's too";
  EXPECT_EQ(Refused("big", 1).reason, Reason::kTenantQuota);
  admission_->EndSequence(first);
  EXPECT_EQ(UseOf("big").blocks, Blocks(5)) << "all that the second one has";
  admission_->EndSequence(second);
  EXPECT_EQ(UseOf("big").blocks, Blocks(0));
  EXPECT_EQ(cache_->counts().cached, Blocks(3));
  EXPECT_EQ(Refused("x", 7).decision, Decision::kNever) << "cached or not, four are big's";
  Hold("x", 6);
  EXPECT_TRUE(IsAdmitted(Ask("big", 4)));
}

// One tenant asks a hundred times as much as the other, which always gets its minimum at once.
TEST_F(TenantsTest, UnderAHundredfoldLoadAMinimumIsThereAtOnce) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  Use({.tenants = {{"small", Quota(3, 6)}}});
  std::vector<std::string> held;  // the loud one's
  std::vector<std::string> own;
  for (int step = 0; step < 2000; ++step) {
    for (int i = 0; i < 100; ++i) {
      ReservationRequest request = RequestOf(1 + static_cast<int64_t>(random() % 40), 0, "loud");
      request.priority = 2;
      (void)admission_->ReserveOrWait(request, seconds(5), [&](const Answer& answer) {
        if (IsAdmitted(answer)) held.push_back(std::get<Reservation>(answer).id);
      });
      if (held.size() > 3 || random() % 50 == 0) {
        for (const std::string& id : std::exchange(held, {})) Release(id);
      }
    }
    if (UseOf("small").blocks < Blocks(3)) {
      own.push_back(Hold("small", 1));
    } else {
      Release(own.back());
      own.pop_back();
    }
    if (random() % 5 == 0) After(seconds(random() % 3));
    std::erase_if(own, [&](const std::string& id) { return !admission_->Renew(id).ok(); });
  }
  EXPECT_GT(UseOf("loud").admitted, 1000);
}

}  // namespace
}  // namespace plimsoll
