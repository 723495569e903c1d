// The controller under policies that promise less than the whole: by hand, and under random calls.
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PartialPromiseTest : public AdmissionTest {
 protected:
  void Use(const PolicyOptions& policy) {
    Restart({.epoch = "e1", .confirm_window = Duration::zero(), .policy = policy});
  }
  Reservation Granted(int64_t prompt, int64_t max_new) {
    return std::get<Reservation>(Must(admission_->Reserve(RequestOf(prompt, max_new))));
  }
  // Blocks that it has after growing to `total` tokens; zero where it may not.
  Blocks Grown(const Reservation& reservation, int64_t total) {
    const Answer answer = Must(admission_->Extend(reservation.id, Tokens(total)));
    admission_->CheckInvariants();
    return IsAdmitted(answer) ? std::get<Reservation>(answer).blocks : Blocks(0);
  }
};

// Ten blocks of 16, one of them kept free.
TEST_F(PartialPromiseTest, AHolderGrowsIntoWhatIsFreeAndAWatermarkKeepsOthersOut) {
  Use({.policy = Policy::kWatermark, .watermark = 0.1});
  const Reservation a = Granted(47, 100);
  EXPECT_EQ(a.blocks, Blocks(3)) << "47 tokens and one";
  EXPECT_EQ(a.max_new_tokens, Tokens(100));
  const Reservation b = Granted(80, 70);
  EXPECT_EQ(b.blocks, Blocks(6));
  EXPECT_EQ(Refused(RequestOf(1, 1)).missing, Blocks(1)) << "the last one is for those who run";
  EXPECT_EQ(Grown(a, 48), Blocks(3));
  EXPECT_EQ(Grown(a, 49), Blocks(4));
  EXPECT_EQ(free(), Blocks(0));
  EXPECT_EQ(Grown(b, 97), Blocks(0)) << "no room";
  EXPECT_EQ(Must(admission_->Get(b.id)).blocks, Blocks(6)) << "as it was";
  EXPECT_TRUE(admission_->Release(a.id).ok());
  EXPECT_EQ(Grown(b, 150), Blocks(10));
  EXPECT_EQ(Refused(RequestOf(100, 61)).decision, Decision::kNever) << "161 never fit";
  EXPECT_TRUE(admission_->Release(b.id).ok());
  EXPECT_EQ(free(), Blocks(10));
}

TEST_F(PartialPromiseTest, NobodyOvertakesWhoWaitsForMoreThanBlocks) {
  Use({.policy = Policy::kQuantile});
  const Reservation first = Granted(60, 100);
  std::vector<std::string> answered;
  const auto queue = [&](const std::string& name, int64_t prompt, int64_t max_new) {
    Must(admission_->ReserveOrWait(RequestOf(prompt, max_new), seconds(1000),
                                   [&answered, name](const Answer&) { answered.push_back(name); }));
  };
  queue("large", 70, 90);
  EXPECT_THAT(answered, testing::IsEmpty()) << "both would grow to 320 of 160 tokens";
  EXPECT_GE(free(), Blocks(5)) << "though there are blocks for it";
  EXPECT_EQ(Refused(RequestOf(1, 1)).reason, Reason::kNoFreeBlocks);
  queue("small", 1, 1);
  EXPECT_THAT(answered, testing::IsEmpty());
  EXPECT_TRUE(admission_->Release(first.id).ok());
  EXPECT_EQ(answered.front(), "large");
  admission_->CheckInvariants();
}

TEST_F(PartialPromiseTest, APolicyOutOfRangeIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      AdmissionController::Create(
          {.epoch = "e1", .policy = {.policy = Policy::kWatermark, .watermark = 2}}, *cache_,
          clock_)
          .status()));
}

// Clients that grow, stop, die and queue: nothing is lost, and who waits is served in the end.
TEST_F(PartialPromiseTest, RandomHoldersLoseNothingAndStarveNobody) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(rng() % static_cast<uint64_t>(n));
  };
  int64_t refused_growth = 0;  // of all policies: a careful one may refuse none in a run
  for (const Policy policy : {Policy::kNeverEvict, Policy::kWatermark, Policy::kQuantile}) {
    cache_ = Must(KvCache::Create({.capacity = Blocks(60)}));
    Use({.policy = policy, .watermark = 0.05});
    std::map<std::string, int64_t> held;  // tokens by id
    int64_t served = 0, queued = 0;
    for (int step = 0; step < 3000; ++step) {
      if (below(3) == 0) {
        ++queued;
        Must(admission_->ReserveOrWait(
            RequestOf(1 + below(200), 1 + below(200), below(2) == 0 ? "a" : "b"), seconds(100000),
            [&](const Answer& answer) {
              const Reservation& got = std::get<Reservation>(answer);
              held[got.id] = got.prompt_tokens.value();
              ++served;
            }));
      }
      std::vector<std::string> ids;
      for (const auto& [id, tokens] : held) ids.push_back(id);
      for (const std::string& id : ids) {
        const auto grown = admission_->Extend(id, Tokens(held[id] + 1 + below(8)));
        const bool lapsed = !grown.ok();
        const bool stops = lapsed || !IsAdmitted(*grown) || below(25) == 0;
        if (!lapsed && !IsAdmitted(*grown)) ++refused_growth;
        if (!lapsed && IsAdmitted(*grown)) held[id] += 1;
        if (!stops) continue;
        if (!lapsed && below(10) != 0) {  // else it dies without a word
          EXPECT_TRUE(admission_->Release(id).ok());
        }
        held.erase(id);
      }
      clock_.Advance(milliseconds(100 * below(20)));
      admission_->Advance();
      admission_->CheckInvariants();
      ASSERT_TRUE(cache_->counts().Conserved());
    }
    for (int round = 0; round < 2000 && served < queued; ++round) {
      clock_.Advance(seconds(31));  // all leases end
      admission_->Advance();
    }
    EXPECT_EQ(served, queued) << NameOf(policy);
    clock_.Advance(seconds(31));
    admission_->Advance();
    EXPECT_EQ(free(), Blocks(60)) << NameOf(policy);
    admission_.reset();
  }
  EXPECT_GT(refused_growth, 0);
}

}  // namespace
}  // namespace plimsoll
