#include "kvcache/pool/kv_cache.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>
#include <span>
#include <string>

#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

std::unique_ptr<KvCache> CacheOf(int64_t blocks, int64_t block_tokens = 4) {
  absl::StatusOr<std::unique_ptr<KvCache>> cache =
      KvCache::Create({.capacity = Blocks(blocks), .block_tokens = Tokens(block_tokens)});
  EXPECT_TRUE(cache.ok()) << cache.status();
  return *std::move(cache);
}

BlockCounts CountsOf(int64_t total, int64_t live, int64_t reserved) {
  return {.total = Blocks(total),
          .live = Blocks(live),
          .cached = Blocks(0),
          .reserved = Blocks(reserved),
          .free = Blocks(total - live - reserved)};
}

void Append(KvCache& cache, SequenceId id, int64_t tokens) {
  const std::optional<AppendPlan> plan = cache.PlanAppend(id, Tokens(tokens));
  ASSERT_TRUE(plan.has_value());
  cache.Commit(*plan);
}

TEST(KvCache, BlocksGoFromFreeToReservedToLiveAndBack) {
  const auto cache = CacheOf(10);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 0));
  ASSERT_TRUE(cache->Promise(Blocks(3)));
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 3));
  const SequenceId id = cache->Begin(Blocks(3));
  Append(*cache, id, 5);  // two blocks of four tokens
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 1));
  EXPECT_EQ(cache->Table(id).size(), 2u);
  EXPECT_EQ(cache->PromiseLeft(id), Blocks(1));
  Append(*cache, id, 3);  // fills the second block
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 1));
  Append(*cache, id, 1);
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0));
  EXPECT_EQ(cache->Length(id), Tokens(9));
  cache->End(id);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 0));
  EXPECT_EQ(cache->sequences(), 0);
}

TEST(KvCache, WhatWasPromisedIsAppendedAtOnce) {
  const auto cache = CacheOf(10);
  ASSERT_TRUE(cache->Promise(Blocks(3)));
  const SequenceId id = cache->Begin(Blocks(3));
  EXPECT_EQ(cache->AppendPromised(id, Tokens(5)).size(), 2u);
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 1));
  EXPECT_EQ(cache->AppendPromised(id, Tokens(3)).size(), 2u);
  EXPECT_EQ(cache->Length(id), Tokens(8));
  EXPECT_EQ(cache->AppendPromised(id, Tokens(1)).data(), cache->Table(id).data());
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0));
  EXPECT_EQ(cache->Usage(), (CacheUsage{.slots = Tokens(12), .filled = Tokens(9)}));
  EXPECT_DEATH(cache->AppendPromised(id, Tokens(4)), "promise_left");
}

// Beside a cache that plans and commits.
TEST(KvCache, AppendingAtOnceIsPlanningAndCommitting) {
  const auto seed = static_cast<uint32_t>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(testing::Message() << "rerun with --gtest_random_seed=" << seed);
  std::mt19937 rng(seed);
  const auto at_once = CacheOf(60), planned = CacheOf(60);
  std::vector<SequenceId> ids;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(at_once->Promise(Blocks(15)) && planned->Promise(Blocks(15)));
    ids.push_back(at_once->Begin(Blocks(15)));
    ASSERT_EQ(planned->Begin(Blocks(15)), ids.back());
  }
  for (int step = 0; step < 60; ++step) {
    const SequenceId id = ids[rng() % ids.size()];
    const int64_t tokens =
        std::min<int64_t>(1 + static_cast<int64_t>(rng() % 6), 60 - planned->Length(id).value());
    if (tokens == 0) continue;
    Append(*planned, id, tokens);
    const std::span<const BlockId> table = at_once->AppendPromised(id, Tokens(tokens));
    const std::span<const BlockId> want = planned->Table(id);
    ASSERT_TRUE(std::equal(table.begin(), table.end(), want.begin(), want.end())) << step;
    ASSERT_EQ(at_once->counts(), planned->counts());
    ASSERT_EQ(at_once->Usage(), planned->Usage());
    at_once->CheckInvariants();
  }
}

TEST(KvCache, BlocksThatOthersHoldAreNotAppendedToAtOnce) {
  const auto cache = CacheOf(10);
  ASSERT_TRUE(cache->Promise(Blocks(6)));
  const SequenceId id = cache->Begin(Blocks(3));
  cache->AppendPromised(id, Tokens(5));
  const SequenceId fork = cache->Fork(id, Blocks(3));
  EXPECT_DEATH(cache->AppendPromised(fork, Tokens(1)), "SharedTail");
}

TEST(KvCache, BeyondItsPromiseASequenceTakesFreeBlocks) {
  const auto cache = CacheOf(4);
  ASSERT_TRUE(cache->Promise(Blocks(1)));
  const SequenceId id = cache->Begin(Blocks(1));
  const std::optional<AppendPlan> plan = cache->PlanAppend(id, Tokens(12));
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->from_promise, Blocks(1));
  EXPECT_EQ(plan->from_free, Blocks(2));
  EXPECT_EQ(plan->new_length, Tokens(12));
  EXPECT_EQ(cache->counts(), CountsOf(4, 0, 1)) << "a plan changes nothing";
  cache->Commit(*plan);
  EXPECT_EQ(cache->counts(), CountsOf(4, 3, 0));
}

TEST(KvCache, WhatOthersWerePromisedIsNotTaken) {
  const auto cache = CacheOf(4);
  ASSERT_TRUE(cache->Promise(Blocks(3)));
  EXPECT_FALSE(cache->Promise(Blocks(2)));
  const SequenceId id = cache->Begin(Blocks(0));
  EXPECT_TRUE(cache->PlanAppend(id, Tokens(4)).has_value());
  EXPECT_EQ(cache->PlanAppend(id, Tokens(5)), std::nullopt);
  cache->Forgo(Blocks(1));
  EXPECT_TRUE(cache->PlanAppend(id, Tokens(5)).has_value());
}

TEST(KvCache, ASequenceMayBePromisedMoreLater) {
  const auto cache = CacheOf(4);
  const SequenceId id = cache->Begin(Blocks(0));
  ASSERT_TRUE(cache->Promise(Blocks(4)));
  EXPECT_EQ(cache->PlanAppend(id, Tokens(1)), std::nullopt);
  cache->AddPromise(id, Blocks(2));
  Append(*cache, id, 8);
  EXPECT_EQ(cache->counts(), CountsOf(4, 2, 2));
}

TEST(KvCache, AppendsOfAnySizeAreAnsweredWithoutOverflow) {
  const auto cache = CacheOf(4);
  const SequenceId id = cache->Begin(Blocks(0));
  Append(*cache, id, 1);
  EXPECT_EQ(cache->PlanAppend(id, Tokens(INT64_MAX)), std::nullopt);
  EXPECT_EQ(cache->PlanAppend(id, Tokens(16)), std::nullopt);
  EXPECT_TRUE(cache->PlanAppend(id, Tokens(15)).has_value());
}

TEST(KvCache, SequenceIdsAreNeverUsedAgain) {
  const auto cache = CacheOf(4);
  std::set<SequenceId> ids;
  for (int i = 0; i < 10; ++i) {
    const SequenceId id = cache->Begin(Blocks(0));
    EXPECT_TRUE(ids.insert(id).second);
    cache->End(id);
  }
}

TEST(KvCache, RefusesOptionsByName) {
  const auto message = [](int64_t blocks, int64_t block_tokens) {
    const auto cache =
        KvCache::Create({.capacity = Blocks(blocks), .block_tokens = Tokens(block_tokens)});
    EXPECT_EQ(cache.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(cache.status().message());
  };
  EXPECT_THAT(message(0, 16), testing::HasSubstr("blocks=0"));
  EXPECT_THAT(message(int64_t{1} << 31, 16), testing::HasSubstr("blocks=2147483648"));
  for (const int64_t block_tokens : {0, 3, 2048}) {
    EXPECT_THAT(message(1, block_tokens),
                testing::HasSubstr("block_tokens=" + std::to_string(block_tokens)));
  }
}

TEST(KvCacheDeathTest, MisuseAbortsWithTheNumbers) {
  const auto cache = CacheOf(4);
  ASSERT_TRUE(cache->Promise(Blocks(2)));
  EXPECT_DEATH(cache->Forgo(Blocks(3)), "check failed.*3 2");
  EXPECT_DEATH(cache->Begin(Blocks(3)), "check failed.*3 2");
  const SequenceId id = cache->Begin(Blocks(2));
  EXPECT_DEATH(cache->Forgo(Blocks(1)), "check failed.*1 0");
  EXPECT_DEATH(cache->AddPromise(id, Blocks(1)), "check failed.*1 0");
  EXPECT_DEATH(cache->PlanAppend(id, Tokens(0)), "check failed.*sequence 0");
  cache->End(id);
  EXPECT_DEATH(cache->End(id), "check failed.*sequence 0");
  EXPECT_DEATH(cache->Length(id), "check failed.*sequence 0");
  EXPECT_DEATH(cache->PlanAppend(id, Tokens(1)), "check failed.*sequence 0");
}

TEST(KvCacheDeathTest, APlanThatIsNoLongerTrueAborts) {
  const auto cache = CacheOf(4);
  const SequenceId id = cache->Begin(Blocks(0));
  const std::optional<AppendPlan> plan = cache->PlanAppend(id, Tokens(8));
  Append(*cache, id, 1);
  EXPECT_DEATH(cache->Commit(*plan), "check failed.*sequence 0 1 0 8");
  const std::optional<AppendPlan> greedy = cache->PlanAppend(id, Tokens(8));
  ASSERT_TRUE(cache->Promise(Blocks(3)));
  EXPECT_DEATH(cache->Commit(*greedy), "check failed") << "the free blocks were promised since";
}

// The cache in plain numbers: what each sequence has, and what nobody took over.
struct CacheAndModel {
  struct Model {
    int64_t length = 0;
    int64_t promise_left = 0;
  };
  static constexpr int64_t kBlocks = 24;
  static constexpr int64_t kBlockTokens = 4;

  std::unique_ptr<KvCache> cache = CacheOf(kBlocks, kBlockTokens);
  std::map<SequenceId, Model> model;
  int64_t unclaimed = 0;

  static int64_t BlocksOf(const Model& m) { return (m.length + kBlockTokens - 1) / kBlockTokens; }
  int64_t Live() const {
    int64_t live = 0;
    for (const auto& [id, m] : model) live += BlocksOf(m);
    return live;
  }
  int64_t Reserved() const {
    int64_t reserved = unclaimed;
    for (const auto& [id, m] : model) reserved += m.promise_left;
    return reserved;
  }
  int64_t Free() const { return kBlocks - Live() - Reserved(); }

  void Promise(int64_t n) {
    const bool fits = n <= Free();
    ASSERT_EQ(cache->Promise(Blocks(n)), fits);
    if (fits) unclaimed += n;
  }
  void Forgo(int64_t n) {
    cache->Forgo(Blocks(n));
    unclaimed -= n;
  }
  void Begin(int64_t promised) {
    model[cache->Begin(Blocks(promised))].promise_left = promised;
    unclaimed -= promised;
  }
  void AddPromise(SequenceId id, int64_t n) {
    cache->AddPromise(id, Blocks(n));
    model[id].promise_left += n;
    unclaimed -= n;
  }
  void Append(SequenceId id, int64_t tokens) {
    Model& m = model[id];
    const int64_t take = BlocksOf({.length = m.length + tokens}) - BlocksOf(m);
    const int64_t promised = std::min(take, m.promise_left);
    const std::optional<AppendPlan> plan = cache->PlanAppend(id, Tokens(tokens));
    ASSERT_EQ(plan.has_value(), take - promised <= Free());
    if (!plan) return;
    cache->Commit(*plan);
    m.length += tokens;
    m.promise_left -= promised;
  }
  void End(SequenceId id) {
    cache->End(id);
    model.erase(id);
  }

  void Step(std::mt19937& random) {
    const auto upto = [&](int64_t n) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(n + 1));
    };
    switch (random() % 6) {
      case 0:
        return Promise(upto(8));
      case 1:
        return Forgo(upto(unclaimed));
      case 2:
        if (model.size() < 12) return Begin(upto(unclaimed));
        break;
      default:
        break;
    }
    if (model.empty()) return;
    const SequenceId id = std::next(model.begin(), upto(std::ssize(model) - 1))->first;
    switch (random() % 5) {
      case 0:
        return End(id);
      case 1:
        return AddPromise(id, upto(unclaimed));
      default:
        return Append(id, 1 + upto(10));
    }
  }
  void Compare() const {
    ASSERT_EQ(cache->counts(), CountsOf(kBlocks, Live(), Reserved()));
    ASSERT_EQ(cache->FindViolation(), std::nullopt);
    std::set<BlockId> blocks;
    for (const auto& [id, m] : model) {
      ASSERT_EQ(cache->Length(id), Tokens(m.length));
      ASSERT_EQ(cache->PromiseLeft(id), Blocks(m.promise_left));
      for (const BlockId block : cache->Table(id)) {
        ASSERT_TRUE(blocks.insert(block).second) << block << " is in two tables";
      }
    }
  }
};

TEST(KvCacheProperty, AgreesWithTheModelAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  CacheAndModel both;
  for (int64_t step = 0, steps = StepsOr(100'000); step < steps; ++step) {
    both.Step(random);
    both.Compare();
    ASSERT_FALSE(testing::Test::HasFatalFailure()) << "step " << step;
  }
}

}  // namespace
}  // namespace plimsoll
