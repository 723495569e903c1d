// The policies by themselves: whom they would evict, without a cache around them.
#include "kvcache/pool/eviction.h"

#include <gmock/gmock.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "kvcache/pool/reuse_statistics.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

constexpr int64_t kBlocks = 64;

std::unique_ptr<EvictionPolicy> PolicyOf(Eviction eviction) {
  auto policy = CreateEvictionPolicy(eviction, Blocks(kBlocks), Tokens(512));
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *std::move(policy);
}

PrefixKey KeyOf(uint64_t number) { return {number, number}; }

void Keep(EvictionPolicy& policy, int block, const BlockUse& use = {}) {
  policy.Keep(BlockId(block), KeyOf(static_cast<uint64_t>(block)), use);
}

// Everything that is kept, in the order in which it would go.
std::vector<int> Drain(EvictionPolicy& policy, int64_t kept) {
  std::vector<int> order;
  for (; kept > 0; --kept) {
    const BlockId victim = policy.Next();
    policy.Removed(victim);
    order.push_back(victim.index());
  }
  return order;
}

TEST(Eviction, NamesAreReadAsTheyAreWritten) {
  for (const Eviction eviction :
       {Eviction::kOff, Eviction::kFifo, Eviction::kLru, Eviction::kLearned}) {
    EXPECT_EQ(EvictionFromName(NameOf(eviction)), eviction);
  }
  EXPECT_EQ(EvictionFromName("LRU"), std::nullopt);
}

TEST(LruEviction, TheOneKeptLongestAgoGoesFirst) {
  const auto policy = PolicyOf(Eviction::kLru);
  for (const int block : {1, 2, 3}) Keep(*policy, block);
  policy->Hold(BlockId(1));
  Keep(*policy, 1);
  EXPECT_THAT(Drain(*policy, 3), testing::ElementsAre(2, 3, 1));
}

TEST(FifoEviction, AUseDoesNotProlongAStay) {
  const auto policy = PolicyOf(Eviction::kFifo);
  for (const int block : {1, 2, 3}) Keep(*policy, block);
  policy->Hold(BlockId(1));
  EXPECT_EQ(policy->Next(), BlockId(2)) << "a held block is passed over";
  Keep(*policy, 1);
  EXPECT_THAT(Drain(*policy, 3), testing::ElementsAre(1, 2, 3));
}

// Blocks 0 to 7 as one request finds and adds them. The found ones are asked for by the next
// request, the added ones by nobody.
TEST(LearnedEviction, KeepsThePartOfRequestsThatIsAskedForAgain) {
  const auto policy = PolicyOf(Eviction::kLearned);
  const std::vector<BlockId> found = {BlockId(0), BlockId(1)};
  uint64_t next_key = 1000;
  for (int request = 0; request < 300; ++request) {
    policy->BeginRequest();
    policy->Asked(std::vector<PrefixKey>{KeyOf(0), KeyOf(1)});
    const UseTag tag = policy->Found(found, 8);
    const bool first = request == 0;
    for (int block = 7; block >= 0; --block) {
      if (!first) policy->Hold(BlockId(block));
      const bool was_found = block < 2;
      const uint64_t key = was_found ? static_cast<uint64_t>(block) : next_key++;
      policy->Keep(BlockId(block), KeyOf(key),
                   {.tag = tag,
                    .found = was_found,
                    .position = was_found ? block : block - 2,
                    .part_size = was_found ? 2 : 6});
    }
  }
  const std::vector<int> order = Drain(*policy, 8);
  EXPECT_THAT(std::vector<int>(order.end() - 2, order.end()), testing::UnorderedElementsAre(0, 1));
}

TEST(EveryPolicy, OffersEachKeptBlockOnceAndBringsBackWhatWasSetAside) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  for (const Eviction eviction : {Eviction::kFifo, Eviction::kLru, Eviction::kLearned}) {
    std::mt19937 random(static_cast<uint32_t>(seed));
    const auto policy = PolicyOf(eviction);
    std::set<int> kept, held, aside;
    for (int64_t step = 0, steps = StepsOr(20'000); step < steps; ++step) {
      const int block = static_cast<int>(random() % kBlocks);
      if (random() % 4 == 0) policy->BeginRequest();
      if (kept.contains(block)) {
        policy->Hold(BlockId(block));
        kept.erase(block);
        aside.erase(block);
        held.insert(block);
      } else {
        if (!held.contains(block)) policy->Stored(BlockId(block));
        Keep(*policy, block,
             {.tag = static_cast<UseTag>(random() % 42), .found = random() % 2 == 0});
        kept.insert(block);
        held.erase(block);
      }
      if (kept.size() == aside.size()) continue;
      const int victim = policy->Next().index();
      ASSERT_TRUE(kept.contains(victim) && !aside.contains(victim)) << NameOf(eviction) << step;
      const auto dice = random() % 3;
      if (dice == 0) {
        policy->SetAside(BlockId(victim));
        aside.insert(victim);
      } else if (dice == 1) {
        policy->Removed(BlockId(victim));
        kept.erase(victim);
      } else {
        policy->BringBack(BlockId(block));
        aside.erase(block);
      }
    }
    for (const int block : aside) policy->BringBack(BlockId(block));
    const std::vector<int> order = Drain(*policy, std::ssize(kept));
    EXPECT_EQ(std::set<int>(order.begin(), order.end()), kept) << NameOf(eviction);
  }
}

TEST(ReuseStatistics, AgesAreInBinsThatDouble) {
  EXPECT_EQ(ReuseStatistics::BinOf(0), 0);
  EXPECT_EQ(ReuseStatistics::BinOf(1), 1);
  EXPECT_EQ(ReuseStatistics::BinOf(3), 2);
  EXPECT_EQ(ReuseStatistics::BinOf(4), 3);
  EXPECT_EQ(ReuseStatistics::BinOf(UINT32_MAX), ReuseStatistics::kBins - 1);
  for (int bin = 0; bin < ReuseStatistics::kBins; ++bin) {
    EXPECT_EQ(ReuseStatistics::BinOf(ReuseStatistics::StartOf(bin)), bin);
  }
}

// Class 0: every block is asked for 10 requests after it was let go. Class 1: never.
class TwoClasses {
 public:
  TwoClasses() {
    for (uint32_t now = 1; now <= 1000; ++now) {
      statistics_.Advance(now);
      if (now > 10) statistics_.Asked(KeyOf(now - 10));
      statistics_.Remember(KeyOf(now), 0, 1);
      statistics_.Remember(KeyOf(1000000 + now), 1, 1);
    }
    statistics_.Learn();
  }
  double Worth(int class_number, uint32_t age) const {
    return statistics_.Worth(class_number, ReuseStatistics::BinOf(age));
  }

 private:
  ReuseStatistics statistics_{{0, 0}};
};

TEST(ReuseStatistics, ABlockIsWorthMoreTheNearerItsTimeAndLittleAfterIt) {
  const TwoClasses learned;
  EXPECT_GT(learned.Worth(0, 0), 10 * learned.Worth(1, 0));
  EXPECT_GT(learned.Worth(0, 8), learned.Worth(0, 4));
  EXPECT_GT(learned.Worth(0, 4), learned.Worth(0, 0)) << "the good stretch still lies ahead";
  EXPECT_GT(learned.Worth(0, 8), 10 * learned.Worth(0, 16));
  // Of those that reach the age of 8, nearly all are asked for between 8 and 15, half of 8 requests
  // on: about one in 4.
  EXPECT_NEAR(learned.Worth(0, 8), 0.25, 0.03);
}

TEST(ReuseStatistics, WithoutCountsAYoungBlockIsWorthMore) {
  const ReuseStatistics nothing({0, 1});
  for (int bin = 1; bin < ReuseStatistics::kBins; ++bin) {
    EXPECT_LE(nothing.Worth(0, bin), nothing.Worth(0, bin - 1));
    EXPECT_EQ(nothing.Worth(0, bin), nothing.Worth(1, bin));
  }
}

TEST(ReuseStatistics, MoreThanItCanRememberIsForgottenOldestFirst) {
  ReuseStatistics statistics({0});
  for (uint64_t i = 0; i < 3 * ReuseStatistics::kRemembered; ++i) {
    statistics.Advance(static_cast<uint32_t>(i / 100));
    statistics.Remember(KeyOf(i), 0, 1);
  }
  statistics.Asked(KeyOf(0));  // forgotten: not counted, and no harm
  statistics.Learn();
  const double before = statistics.Worth(0, 0);
  statistics.Asked(KeyOf(3 * ReuseStatistics::kRemembered - 1));
  statistics.Learn();
  EXPECT_GT(statistics.Worth(0, 0), before);
}

}  // namespace
}  // namespace plimsoll
