// Blocks taken out of a cache and added to it, worked through by hand. whole_cache_test.cc does the
// same among everything else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "kvcache/pool/kv_cache.h"
#include "tests/kvcache/pool/caches.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr Tokens kSize(2);

std::unique_ptr<KvCache> CacheUpTo(int64_t blocks, int64_t most, Eviction eviction,
                                   Blocks chunk = Blocks(0)) {
  return *KvCache::Create({.capacity = Blocks(blocks),
                           .block_tokens = kSize,
                           .eviction = eviction,
                           .chunk = chunk,
                           .most = Blocks(most)});
}

// A sequence of so many full blocks, for which room was promised.
SequenceId Holding(KvCache& cache, int64_t blocks) {
  EXPECT_TRUE(cache.Promise(Blocks(blocks)));
  const SequenceId id = cache.Begin(Blocks(blocks));
  cache.Commit(*cache.PlanAppend(id, blocks * kSize));
  return id;
}

std::vector<int32_t> Ids(const KvCache& cache, SequenceId id) {
  std::vector<int32_t> ids;
  for (const BlockId block : cache.Table(id)) ids.push_back(block.index());
  return ids;
}

BlockMove Move(int32_t from, int32_t to) { return {.from = BlockId(from), .to = BlockId(to)}; }

// Blocks 0 and 1, 2 and 3, 4 and 5 are held; the first two come free. Of a pool of four, 4 and 5
// move to 0 and 1.
TEST(Resize, WhatLiesInBlocksThatGoMovesDown) {
  const auto cache = CacheUpTo(8, 8, Eviction::kOff);
  const SequenceId first = Holding(*cache, 2), second = Holding(*cache, 2),
                   third = Holding(*cache, 2);
  cache->End(first);
  const auto moves = cache->PrepareResize(Blocks(4));
  ASSERT_TRUE(moves.has_value());
  EXPECT_THAT(*moves, ElementsAre(Move(4, 0), Move(5, 1)));
  EXPECT_THAT(Ids(*cache, third), ElementsAre(4, 5)) << "not yet";
  cache->Resize(Blocks(4), *moves);
  EXPECT_THAT(Ids(*cache, second), ElementsAre(2, 3));
  EXPECT_THAT(Ids(*cache, third), ElementsAre(0, 1));
  EXPECT_EQ(cache->counts(), CountsOf(4, 4, 0, 0));
  EXPECT_FALSE(cache->Promise(Blocks(1)));
  cache->CheckInvariants();
}

TEST(Resize, NewBlocksAreFreeAndTakenAfterOldOnes) {
  for (const Blocks chunk : {Blocks(0), Blocks(4)}) {
    const auto cache = CacheUpTo(2, 6, Eviction::kOff, chunk);
    const SequenceId first = Holding(*cache, 2);
    EXPECT_FALSE(cache->Promise(Blocks(1)));
    const auto moves = cache->PrepareResize(Blocks(6));
    EXPECT_THAT(*moves, IsEmpty());
    cache->Resize(Blocks(6), *moves);
    EXPECT_EQ(cache->counts(), CountsOf(6, 2, 0, 0));
    EXPECT_THAT(Ids(*cache, Holding(*cache, 4)), ElementsAre(2, 3, 4, 5));
    EXPECT_THAT(Ids(*cache, first), ElementsAre(0, 1));
    cache->CheckInvariants();
  }
}

TEST(Resize, WhatIsLiveOrPromisedHasToStay) {
  const auto cache = CacheUpTo(8, 8, Eviction::kOff);
  Holding(*cache, 3);
  ASSERT_TRUE(cache->Promise(Blocks(2)));
  EXPECT_EQ(cache->PrepareResize(Blocks(4)), std::nullopt);
  EXPECT_EQ(cache->counts(), CountsOf(8, 3, 0, 2)) << "nothing has changed";
  const auto moves = cache->PrepareResize(Blocks(5));
  ASSERT_TRUE(moves.has_value());
  cache->Resize(Blocks(5), *moves);
  EXPECT_EQ(cache->counts(), CountsOf(5, 3, 0, 2));
  EXPECT_EQ(cache->PlanAppend(cache->Begin(Blocks(0)), Tokens(1)), std::nullopt)
      << "what is left is promised";
}

// Two prompts of two blocks are cached, the first one's were used last. Of a pool of three, one
// block goes; who has a name keeps it wherever it lies.
TEST(Resize, CachedBlocksGoAsFarAsTheyMustAndTheOthersAreFound) {
  for (const Eviction eviction : {Eviction::kLru, Eviction::kFifo, Eviction::kLearned}) {
    SCOPED_TRACE(NameOf(eviction));
    const auto cache = CacheUpTo(8, 8, eviction);
    const std::vector<int32_t> old = {1, 2, 3, 4}, young = {5, 6, 7, 8};
    const auto serve = [&](const std::vector<int32_t>& tokens) {
      const BlockNames names = BlockNames::OfTokens(tokens, kSize);
      const auto id = cache->BeginWith({"", names}, Blocks(2));
      const Tokens found = cache->Length(*id);
      if (found < Tokens(4)) cache->Commit(*cache->PlanAppend(*id, Tokens(4) - found));
      cache->Name(*id, names.Subrange(found / kSize, 2 - found / kSize));
      return *id;
    };
    const SequenceId holds_low_ones = Holding(*cache, 2);
    cache->End(serve(old));
    cache->End(serve(young));
    cache->End(holds_low_ones);
    EXPECT_EQ(cache->counts(), CountsOf(8, 0, 4, 0));
    const auto moves = cache->PrepareResize(Blocks(3));
    ASSERT_TRUE(moves.has_value());
    cache->Resize(Blocks(3), *moves);
    EXPECT_EQ(cache->counts(), CountsOf(3, 0, 3, 0));
    const auto found = [&](const std::vector<int32_t>& tokens) {
      return cache->Find({"", BlockNames::OfTokens(tokens, kSize)}).blocks.value();
    };
    EXPECT_EQ(found(old) + found(young), 3);
    cache->End(serve(young));  // and they can be held, dropped and evicted as before
    cache->TrimCached(Blocks(0));
    EXPECT_EQ(cache->counts(), CountsOf(3, 0, 0, 0));
    cache->CheckInvariants();
  }
}

// Both hold block 2, part full, with a spare set aside.
TEST(Resize, ForksKeepWhatTheyShare) {
  const auto cache = CacheUpTo(6, 6, Eviction::kOff);
  const SequenceId low = Holding(*cache, 2);
  ASSERT_TRUE(cache->Promise(Blocks(3)));
  const SequenceId parent = cache->Begin(Blocks(2));
  cache->Commit(*cache->PlanAppend(parent, Tokens(1)));
  const SequenceId fork = cache->Fork(parent, Blocks(1));
  cache->End(low);
  const auto moves = cache->PrepareResize(Blocks(3));
  ASSERT_TRUE(moves.has_value());
  EXPECT_THAT(*moves, IsEmpty()) << "block 2 stays";
  EXPECT_EQ(cache->PrepareResize(Blocks(2)), std::nullopt);
  cache->Resize(Blocks(3), *moves);
  EXPECT_THAT(Ids(*cache, fork), ElementsAre(2));
  const auto copy = cache->Commit(*cache->PlanAppend(fork, Tokens(1)));
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->from, BlockId(2));
  cache->CheckInvariants();
}

TEST(Resize, SoManyChunksAtTheEndAreFreeAsThereAre) {
  const auto cache = CacheUpTo(8, 16, Eviction::kOff, Blocks(4));
  EXPECT_EQ(cache->FreeChunksAtEnd(), 2);
  cache->Resize(Blocks(16), *cache->PrepareResize(Blocks(16)));
  EXPECT_EQ(cache->FreeChunksAtEnd(), 4);
  Holding(*cache, 5);
  EXPECT_EQ(cache->FreeChunksAtEnd(), 2);
  cache->Resize(Blocks(6), *cache->PrepareResize(Blocks(6)));
  EXPECT_EQ(cache->FreeChunksAtEnd(), 0);
  cache->CheckInvariants();
}

TEST(ResizeDeathTest, MisuseAborts) {
  const auto cache = CacheUpTo(4, 8, Eviction::kOff);
  EXPECT_EQ(cache->most(), Blocks(8));
  EXPECT_DEATH(cache->PrepareResize(Blocks(9)), "most");
  EXPECT_DEATH(cache->PrepareResize(Blocks(0)), "total");
  const SequenceId low = Holding(*cache, 2);
  Holding(*cache, 2);
  cache->End(low);
  EXPECT_DEATH(cache->Resize(Blocks(2), {}), "MovesBelow") << "blocks 2 and 3 are held";
}

}  // namespace
}  // namespace plimsoll
