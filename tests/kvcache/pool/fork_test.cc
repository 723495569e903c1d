// Sequences that share a beginning: forks, copies on the first write, tokens taken back, lookahead.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "kvcache/pool/kv_cache.h"
#include "kvcache/sizing/block_demand.h"
#include "tests/kvcache/pool/caches.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;

constexpr Tokens kBlockTokens(4);

std::unique_ptr<KvCache> CacheOf(int64_t blocks, Eviction eviction = Eviction::kOff,
                                 Tokens block_tokens = kBlockTokens) {
  return CacheWith(blocks, eviction, block_tokens);
}

SequenceId BeginWithPromise(KvCache& cache, int64_t promised) {
  EXPECT_TRUE(cache.Promise(Blocks(promised)));
  return cache.Begin(Blocks(promised));
}

// A fork with all it needs to grow to `total` tokens.
SequenceId ForkFor(KvCache& cache, SequenceId id, int64_t total) {
  const Blocks promised = BlocksForFork(cache.Length(id), Tokens(total), cache.block_tokens());
  EXPECT_TRUE(cache.Promise(promised));
  return cache.Fork(id, promised);
}

std::optional<BlockCopy> Append(KvCache& cache, SequenceId id, int64_t tokens,
                                int64_t lookahead = 0) {
  const auto plan = cache.PlanAppend(id, Tokens(tokens), Tokens(lookahead));
  if (!plan) ADD_FAILURE() << id << " has no room for " << tokens << " tokens";
  return plan ? cache.Commit(*plan) : std::nullopt;
}

std::vector<BlockId> TableOf(const KvCache& cache, SequenceId id) {
  return {cache.Table(id).begin(), cache.Table(id).end()};
}

// Ten tokens are two full blocks and half of a third; each of two may grow to twelve.
TEST(Fork, SharesAllBlocksAndWhoWritesFirstCopiesTheLast) {
  const auto cache = CacheOf(10);
  const SequenceId parent = BeginWithPromise(*cache, 3);
  EXPECT_EQ(Append(*cache, parent, 10), std::nullopt);
  EXPECT_EQ(BlocksForFork(Tokens(10), Tokens(12), kBlockTokens), Blocks(1));
  const SequenceId fork = ForkFor(*cache, parent, 12);
  EXPECT_EQ(TableOf(*cache, fork), TableOf(*cache, parent));
  EXPECT_EQ(cache->Length(fork), Tokens(10));
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0, 1)) << "one block is set aside for the copy";

  const std::vector<BlockId> before = TableOf(*cache, parent);
  const std::optional<BlockCopy> copy = Append(*cache, parent, 1);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->from, before[2]);
  EXPECT_EQ(copy->tokens, Tokens(2));
  EXPECT_THAT(TableOf(*cache, parent), ElementsAre(before[0], before[1], copy->to));
  EXPECT_EQ(TableOf(*cache, fork), before);
  EXPECT_EQ(cache->counts(), CountsOf(10, 4, 0, 0));
  EXPECT_EQ(Append(*cache, fork, 1), std::nullopt) << "the last holder writes in place";
  EXPECT_EQ(TableOf(*cache, fork), before);

  cache->End(parent);
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0, 0));
  cache->End(fork);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 0, 0));
}

TEST(Fork, WhoeverWritesFirstAllCanGrowAsFarAsPromised) {
  for (int first = 0; first < 4; ++first) {
    const auto cache = CacheOf(3 + 3 * 2);  // 10 tokens each of 12, with nothing to spare
    std::vector<SequenceId> samples = {BeginWithPromise(*cache, 4)};
    Append(*cache, samples[0], 5);
    ASSERT_EQ(BlocksForFork(Tokens(5), Tokens(12), kBlockTokens), Blocks(2));
    ASSERT_EQ(cache->available(), Blocks(5));
    samples.push_back(ForkFor(*cache, samples[0], 12));
    samples.push_back(ForkFor(*cache, samples[1], 12));
    for (int i = 0; i < 3; ++i) {
      const SequenceId id = samples[static_cast<size_t>((first + i) % 3)];
      const auto plan = cache->PlanAppend(id, Tokens(7));
      ASSERT_TRUE(plan.has_value());
      EXPECT_EQ(plan->copied.has_value(), i < 2);
      EXPECT_EQ(plan->from_free, Blocks(0)) << "it was promised";
      cache->Commit(*plan);
    }
  }
}

TEST(Fork, AtTheEndOfABlockNothingIsCopied) {
  const auto cache = CacheOf(10);
  const SequenceId parent = BeginWithPromise(*cache, 2);
  Append(*cache, parent, 8);
  EXPECT_EQ(BlocksForFork(Tokens(8), Tokens(9), kBlockTokens), Blocks(1));
  const SequenceId fork = ForkFor(*cache, parent, 9);
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 1));
  EXPECT_EQ(Append(*cache, fork, 1), std::nullopt);
  EXPECT_EQ(Append(*cache, parent, 1), std::nullopt);
  EXPECT_EQ(cache->counts(), CountsOf(10, 4, 0, 0));
}

TEST(Fork, WhatWasSetAsideForACopyThatNobodyNeedsComesBack) {
  for (const bool parent_ends : {true, false}) {
    const auto cache = CacheOf(10);
    const SequenceId parent = BeginWithPromise(*cache, 1);
    Append(*cache, parent, 1);
    const SequenceId fork = ForkFor(*cache, parent, 2);
    EXPECT_EQ(cache->counts(), CountsOf(10, 1, 0, 1));
    cache->End(parent_ends ? parent : fork);
    EXPECT_EQ(cache->counts(), CountsOf(10, 1, 0, 0));
    EXPECT_EQ(Append(*cache, parent_ends ? fork : parent, 1), std::nullopt);
  }
}

TEST(Fork, OfAnEmptySequenceIsAnEmptySequence) {
  const auto cache = CacheOf(4);
  const SequenceId parent = cache->Begin(Blocks(0));
  const SequenceId fork = ForkFor(*cache, parent, 5);
  EXPECT_EQ(cache->PromiseLeft(fork), Blocks(2));
  EXPECT_EQ(Append(*cache, fork, 5), std::nullopt);
}

TEST(Truncate, BlocksReturnToThePromiseAndThoseBeyondItBecomeFree) {
  const auto cache = CacheOf(10);
  const SequenceId id = BeginWithPromise(*cache, 2);
  Append(*cache, id, 17);  // five blocks, three of them beyond the promise
  EXPECT_EQ(cache->counts(), CountsOf(10, 5, 0, 0));
  cache->Truncate(id, Tokens(13));
  EXPECT_EQ(cache->counts(), CountsOf(10, 4, 0, 0));
  cache->Truncate(id, Tokens(3));
  EXPECT_EQ(cache->Length(id), Tokens(3));
  EXPECT_EQ(cache->counts(), CountsOf(10, 1, 0, 1)) << "two go free, one is promised again";
  cache->Truncate(id, Tokens(0));
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 0, 2));
  EXPECT_EQ(Append(*cache, id, 8), std::nullopt);
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 0));
}

// A step that checks three drafted tokens after the one that is certain.
TEST(Lookahead, SlotsAreThereBeforeTheirTokensAndRejectedOnesAreUsedAgain) {
  const auto cache = CacheOf(10);
  const SequenceId id = BeginWithPromise(*cache, 3);
  Append(*cache, id, 3, 3);
  EXPECT_EQ(cache->Length(id), Tokens(3));
  EXPECT_EQ(cache->Table(id).size(), 2u) << "slots for six tokens";
  const std::vector<BlockId> table = TableOf(*cache, id);
  Append(*cache, id, 2, 3);  // one draft was right
  EXPECT_EQ(TableOf(*cache, id), table) << "slots for eight tokens";
  Append(*cache, id, 1, 3);
  EXPECT_EQ(cache->Table(id).size(), 3u);
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0, 0));
  cache->Truncate(id, cache->Length(id));
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 1)) << "drafting is over: slots come back";
  EXPECT_EQ(cache->PlanAppend(id, Tokens(1), Tokens(INT64_MAX)), std::nullopt);
}

TEST(Lookahead, AForkSharesNoSlotsWithoutTokens) {
  const auto cache = CacheOf(10);
  const SequenceId parent = cache->Begin(Blocks(0));
  Append(*cache, parent, 4, 4);
  const SequenceId fork = ForkFor(*cache, parent, 8);
  EXPECT_EQ(cache->Table(fork).size(), 1u);
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 1));
}

BlockNames NamesOf(const std::vector<int32_t>& tokens) {
  return BlockNames::OfTokens(tokens, kBlockTokens);
}

TEST(Truncate, ANamedBlockThatIsCutStaysForOthersAndIsCopied) {
  const auto cache = CacheOf(10, Eviction::kLru);
  const std::vector<int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8};
  const SequenceId id = *cache->BeginWith({"", NamesOf(prompt)}, Blocks(3));
  Append(*cache, id, 8);
  cache->Name(id, NamesOf(prompt));
  const std::vector<BlockId> table = TableOf(*cache, id);
  cache->Truncate(id, Tokens(6));
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(2));
  const std::optional<BlockCopy> copy = Append(*cache, id, 2);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(*copy, (BlockCopy{.from = table[1], .to = cache->Table(id)[1], .tokens = Tokens(2)}));
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 1, 0)) << "the old one is kept for who finds it";
  const std::vector<int32_t> other = {5, 6, 9, 9};
  cache->Name(id, NamesOf(other));
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(2));
  EXPECT_EQ(cache->Find({"", NamesOf({1, 2, 3, 4, 5, 6, 9, 9})}).blocks, Blocks(2));
}

TEST(Truncate, NamedBlocksThatAreGivenUpAreKeptAndPromisedAgain) {
  const auto cache = CacheOf(3, Eviction::kLru);
  const std::vector<int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const SequenceId id = *cache->BeginWith({"", NamesOf(prompt)}, Blocks(3));
  Append(*cache, id, 12);
  cache->Name(id, NamesOf(prompt));
  cache->Truncate(id, Tokens(4));
  EXPECT_EQ(cache->counts(), CountsOf(3, 1, 0, 2)) << "the pool is full: both had to go";
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(1));
  Append(*cache, id, 8);
  cache->Name(id, NamesOf({5, 6, 7, 8, 9, 9, 9, 9}));
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(2));
}

TEST(Fork, BothMayNameWhatTheyShare) {
  const auto cache = CacheOf(10, Eviction::kLru);
  const std::vector<int32_t> prompt = {1, 2, 3, 4};
  const SequenceId parent = *cache->BeginWith({"", NamesOf(prompt)}, Blocks(1));
  Append(*cache, parent, 4);
  const SequenceId fork = ForkFor(*cache, parent, 8);
  cache->Name(parent, NamesOf(prompt));
  cache->End(parent);
  EXPECT_EQ(cache->counts(), CountsOf(10, 1, 0, 1)) << "the fork still holds it";
  cache->Name(fork, NamesOf(prompt));
  cache->End(fork);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 1, 0));
}

TEST(Fork, OneThatNeverNamesWhatItSharesKeepsItNonetheless) {
  const auto cache = CacheOf(10, Eviction::kLearned);
  const std::vector<int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8};
  const SequenceId parent = *cache->BeginWith({"", NamesOf(prompt)}, Blocks(2));
  Append(*cache, parent, 8);
  const SequenceId fork = ForkFor(*cache, parent, 9);
  cache->Name(parent, NamesOf(prompt));
  cache->End(parent);
  cache->End(fork);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 2, 0));
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(2));
}

TEST(ForkDeathTest, MisuseAborts) {
  const auto cache = CacheOf(4);
  const SequenceId id = BeginWithPromise(*cache, 1);
  Append(*cache, id, 3);
  EXPECT_DEATH(cache->Fork(id, Blocks(1)), "check failed.*1 0") << "nothing was promised";
  EXPECT_DEATH(cache->Fork(id, Blocks(0)), "check failed.*sequence 0 3") << "no room to copy";
  EXPECT_DEATH(cache->Truncate(id, Tokens(4)), "check failed.*sequence 0 4 3");
  const auto plan = cache->PlanAppend(id, Tokens(1));
  ASSERT_TRUE(cache->Promise(Blocks(1)));
  cache->Fork(id, Blocks(1));
  EXPECT_DEATH(cache->Commit(*plan), "check failed.*sequence 0") << "it has to copy now";
}

}  // namespace
}  // namespace plimsoll
