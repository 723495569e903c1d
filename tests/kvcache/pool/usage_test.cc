// How full live blocks are, and who holds what.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <vector>

#include "kvcache/pool/kv_cache.h"
#include "tests/kvcache/pool/caches.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

constexpr Tokens kSize(4);

CacheUsage UsageOf(int64_t slots, int64_t filled) {
  return {.slots = Tokens(slots), .filled = Tokens(filled)};
}

Holder HolderOf(SequenceId id, int64_t length, int64_t held, int64_t shared, int64_t promised) {
  return {.sequence = id,
          .length = Tokens(length),
          .held = Blocks(held),
          .shared = Blocks(shared),
          .promise_left = Blocks(promised)};
}

void Append(KvCache& cache, SequenceId id, int64_t n, int64_t lookahead = 0) {
  cache.Commit(*cache.PlanAppend(id, Tokens(n), Tokens(lookahead)));
}

TEST(Usage, CountsLastBlocksAndLookahead) {
  const auto cache = CacheWith(16, Eviction::kOff, kSize);
  const SequenceId id = cache->Begin(Blocks(0));
  EXPECT_EQ(cache->Usage(), UsageOf(0, 0));
  Append(*cache, id, 6);
  EXPECT_EQ(cache->Usage(), UsageOf(8, 6));
  Append(*cache, id, 1, 5);
  EXPECT_EQ(cache->Usage(), UsageOf(12, 7)) << "five slots of lookahead";
  Append(*cache, id, 4);
  EXPECT_EQ(cache->Usage(), UsageOf(12, 11)) << "four of them are used";
  cache->Truncate(id, Tokens(5));
  EXPECT_EQ(cache->Usage(), UsageOf(8, 5));
  cache->Preempt(id);
  EXPECT_EQ(cache->Usage(), UsageOf(0, 0));
}

TEST(Usage, ATailThatForksShareCountsOnce) {
  const auto cache = CacheWith(16, Eviction::kOff, kSize);
  const SequenceId a = cache->Begin(Blocks(0));
  Append(*cache, a, 7);
  ASSERT_TRUE(cache->Promise(Blocks(1)));
  const SequenceId b = cache->Fork(a, Blocks(1));
  EXPECT_EQ(cache->Usage(), UsageOf(8, 7));
  cache->Truncate(a, Tokens(5));
  EXPECT_EQ(cache->Usage(), UsageOf(8, 7)) << "the fork still has seven";
  Append(*cache, b, 1);
  EXPECT_EQ(cache->Usage(), UsageOf(12, 9)) << "it got a copy; the other keeps five";
  cache->End(a);
  EXPECT_EQ(cache->Usage(), UsageOf(8, 8));
  cache->End(b);
  EXPECT_EQ(cache->Usage(), UsageOf(0, 0));
}

TEST(Usage, ANamedBlockIsFull) {
  const auto cache = CacheWith(16, Eviction::kLru, kSize);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  const Prompt prompt{"", BlockNames::OfTokens(tokens, kSize)};
  const SequenceId a = *cache->BeginWith(prompt, Blocks(2));
  Append(*cache, a, 8);
  cache->Name(a, prompt.names);
  cache->Truncate(a, Tokens(6));
  EXPECT_EQ(cache->Usage(), UsageOf(8, 8)) << "others find all of it";
  cache->End(a);
  EXPECT_EQ(cache->Usage(), UsageOf(0, 0)) << "cached blocks are not live";
  EXPECT_TRUE(cache->BeginWith(prompt, Blocks(3)).has_value());
  EXPECT_EQ(cache->Usage(), UsageOf(8, 8));
}

TEST(Usage, SaysWhoHoldsWhat) {
  const auto cache = CacheWith(16, Eviction::kLru, kSize);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  const Prompt prompt{"", BlockNames::OfTokens(tokens, kSize)};
  const SequenceId a = *cache->BeginWith(prompt, Blocks(3));
  Append(*cache, a, 9);
  cache->Name(a, prompt.names);
  EXPECT_THAT(cache->Holders(), testing::ElementsAre(HolderOf(a, 9, 3, 0, 0)))
      << "a name is nobody else";
  const SequenceId b = *cache->BeginWith(prompt, Blocks(4));
  EXPECT_THAT(cache->Holders(),
              testing::ElementsAre(HolderOf(a, 9, 3, 2, 0), HolderOf(b, 8, 2, 2, 2)));
}

using Lengths = std::map<SequenceId, Tokens>;

// From how many tokens each sequence has, and which blocks the cache says that it holds.
CacheUsage Recount(const KvCache& cache, const Lengths& lengths) {
  std::map<BlockId, Tokens> most;
  for (const auto& [id, length] : lengths) {
    Tokens left = length;
    for (const BlockId block : cache.Table(id)) {
      const Tokens here = std::min(left, kSize);
      most[block] = std::max(most[block], here);
      left -= here;
    }
  }
  Tokens filled;
  for (const auto& [block, tokens] : most) filled += tokens;
  return UsageOf(std::ssize(most) * kSize.value(), filled.value());
}

TEST(UsageProperty, AgreesWithARecountAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const auto upto = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n + 1));
  };
  const auto cache = CacheWith(40, Eviction::kOff, kSize);
  Lengths lengths;
  const auto any = [&] { return std::next(lengths.begin(), upto(std::ssize(lengths) - 1))->first; };
  for (int64_t step = 0, steps = StepsOr(50'000); step < steps; ++step) {
    const int64_t dice = lengths.empty() ? 0 : upto(9);
    if (dice == 0) {
      if (lengths.size() < 8) lengths[cache->Begin(Blocks(0))] = Tokens(0);
    } else if (dice <= 2) {
      const SequenceId id = any();
      if (lengths.size() >= 8 || !cache->Promise(Blocks(1))) continue;
      const Tokens length = lengths[id];
      lengths[cache->Fork(id, Blocks(1))] = length;
    } else if (dice == 3) {
      const SequenceId id = any();
      cache->End(id);
      lengths.erase(id);
    } else if (dice <= 5) {
      const SequenceId id = any();
      lengths[id] = Tokens(upto(lengths[id].value()));
      cache->Truncate(id, lengths[id]);
    } else if (const auto plan = cache->PlanAppend(any(), Tokens(1 + upto(5)), Tokens(upto(5)))) {
      cache->Commit(*plan);
      lengths[plan->sequence] = plan->new_length;
    }
    ASSERT_EQ(cache->Usage(), Recount(*cache, lengths)) << "step " << step;
  }
}

}  // namespace
}  // namespace plimsoll
