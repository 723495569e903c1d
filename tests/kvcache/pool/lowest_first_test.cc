// Pools that hand out the lowest free block first.
#include <gmock/gmock.h>

#include <limits>
#include <random>
#include <set>
#include <vector>

#include "kvcache/pool/block_pool.h"
#include "kvcache/pool/kv_cache.h"
#include "tests/kvcache/pool/random_steps.h"
#include "tests/support/thread_sanitizer.h"

namespace plimsoll {
namespace {

BlockPool PoolOf(int64_t blocks, int64_t chunk) {
  absl::StatusOr<BlockPool> pool = BlockPool::Create(Blocks(blocks), Blocks(chunk));
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

std::vector<BlockId> Ids(std::initializer_list<int32_t> indexes) {
  return {indexes.begin(), indexes.end()};
}

std::vector<BlockId> Acquired(BlockPool& pool, int64_t n, std::vector<BlockId> before = {}) {
  EXPECT_TRUE(pool.TryAcquire(Blocks(n), before));
  return before;
}

TEST(LowestFirst, TheLowestFreeBlockGoesFirst) {
  BlockPool pool = PoolOf(8, 4);
  EXPECT_EQ(Acquired(pool, 6), Ids({0, 1, 2, 3, 4, 5}));
  pool.Release(Ids({1, 4, 3}));
  EXPECT_EQ(pool.TryAcquire(), BlockId(1));
  EXPECT_EQ(pool.TryAcquire(), BlockId(3));
  EXPECT_EQ(Acquired(pool, 3), Ids({4, 6, 7}));
  EXPECT_EQ(pool.TryAcquire(), std::nullopt);
  EXPECT_EQ(pool.FindViolation(), std::nullopt);
}

// Blocks 3 and 5 to 11 are free, in chunks of four.
TEST(LowestFirst, AListGoesOnAfterItsLastBlockWithinTheChunk) {
  BlockPool pool = PoolOf(12, 4);
  Acquired(pool, 8);
  pool.Release(Ids({3, 5, 6, 7}));
  EXPECT_EQ(Acquired(pool, 1, Ids({4})), Ids({4, 5})) << "not the lowest, 3";
  EXPECT_EQ(Acquired(pool, 3, Ids({4, 5})), Ids({4, 5, 6, 7, 3})) << "8 is in another chunk";
  EXPECT_EQ(Acquired(pool, 1, Ids({11})), Ids({11, 8})) << "there is no block 12";
}

TEST(LowestFirst, ASharedBlockIsFreeAfterItsLastRelease) {
  BlockPool pool = PoolOf(2, 1);
  const BlockId id = *pool.TryAcquire();
  pool.Share(id);
  pool.Release(Ids({0}));
  EXPECT_EQ(pool.TryAcquire(), BlockId(1));
  pool.Release(id);
  EXPECT_EQ(pool.TryAcquire(), id);
}

TEST(LowestFirst, SaysHowManyChunksAtTheEndAreFree) {
  BlockPool pool = PoolOf(10, 4);  // chunks of 4, 4 and 2 blocks
  EXPECT_EQ(pool.FreeChunksAtEnd(), 3);
  Acquired(pool, 5);
  EXPECT_EQ(pool.FreeChunksAtEnd(), 1);
  pool.Release(Ids({0, 1, 2, 3}));
  EXPECT_EQ(pool.FreeChunksAtEnd(), 1) << "the first chunk is free and not at the end";
  pool.Release(BlockId(4));
  EXPECT_EQ(pool.FreeChunksAtEnd(), 3);
  EXPECT_EQ(BlockPool::Create(Blocks(10))->FreeChunksAtEnd(), std::nullopt);
}

TEST(LowestFirst, CountsTheLargestPoolWithoutTouchingItsMemory) {
  if (kUnderThreadSanitizer) GTEST_SKIP() << "the thread sanitizer touches it";
  BlockPool pool = PoolOf(std::numeric_limits<int32_t>::max(), 1024);
  EXPECT_EQ(Acquired(pool, 3), Ids({0, 1, 2}));
  EXPECT_EQ(pool.FreeChunksAtEnd(), (int64_t{1} << 21) - 1);
}

TEST(LowestFirstDeathTest, MisuseAborts) {
  BlockPool pool = PoolOf(2, 2);
  EXPECT_DEATH(pool.Release(BlockId(1)), "check failed.*block 1");
  EXPECT_DEATH(pool.Release(BlockId(2)), "check failed.*block 2 2");
  EXPECT_DEATH(pool.Share(BlockId(0)), "check failed.*block 0");
}

TEST(LowestFirst, ACacheGrowsItsSequencesInRuns) {
  const auto cache = *KvCache::Create({.capacity = Blocks(16), .chunk = Blocks(8)});
  const SequenceId a = cache->Begin(Blocks(0));
  const SequenceId b = cache->Begin(Blocks(0));
  cache->Commit(*cache->PlanAppend(a, Tokens(3 * 16)));
  cache->Commit(*cache->PlanAppend(b, Tokens(2 * 16)));
  cache->End(a);
  cache->Commit(*cache->PlanAppend(b, Tokens(2 * 16)));
  EXPECT_THAT(cache->Table(b), testing::ElementsAreArray(Ids({3, 4, 5, 6})));
}

// A pool and the free blocks in a set: which block comes is known at every step.
struct PoolAndSet {
  PoolAndSet(int64_t blocks, int64_t its_chunk) : chunk(its_chunk), pool(PoolOf(blocks, chunk)) {
    for (int32_t i = 0; i < blocks; ++i) free.insert(free.end(), i);
  }

  int32_t Take(int32_t block) {
    free.erase(block);
    return block;
  }
  int32_t Next(const std::vector<BlockId>& list) {
    const int32_t after = list.empty() ? 0 : list.back().index() + 1;
    const bool goes_on = !list.empty() && after % chunk != 0 && free.contains(after);
    return Take(goes_on ? after : *free.begin());
  }
  void Grow(std::vector<BlockId>& list, int64_t n) {
    std::vector<BlockId> expected = list;
    const bool enough = n <= std::ssize(free);
    for (int64_t i = 0; enough && i < n; ++i) expected.emplace_back(Next(expected));
    ASSERT_EQ(pool.TryAcquire(Blocks(n), list), enough);
    ASSERT_EQ(list, expected);
  }
  // Gives back the blocks of a list from one on.
  void Cut(std::vector<BlockId>& list, size_t length) {
    pool.Release(std::span(list).subspan(length));
    for (size_t i = length; i < list.size(); ++i) free.insert(list[i].index());
    list.resize(length, BlockId(0));
  }
  int64_t FreeChunksAtEnd(int64_t blocks) const {
    int64_t first_free = 0;  // nothing is held from this block on
    for (int64_t i = 0; i < blocks; ++i) {
      if (!free.contains(static_cast<int32_t>(i))) first_free = i + 1;
    }
    return CeilDivide(blocks, chunk) - CeilDivide(first_free, chunk);
  }

  const int64_t chunk;
  BlockPool pool;
  std::set<int32_t> free;
};

// Sizes with one, two and three levels, whole words and not, and chunks across words.
TEST(LowestFirstProperty, AgreesWithASetAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  for (const auto& [blocks, chunk] : {std::pair(40, 3), {64, 16}, {200, 7}, {4200, 100}}) {
    SCOPED_TRACE("blocks " + std::to_string(blocks));
    PoolAndSet both(blocks, chunk);
    std::vector<std::vector<BlockId>> lists(12);
    const int64_t steps = StepsOr(60'000);
    for (int64_t step = 0; step < steps; ++step) {
      std::vector<BlockId>& list = lists[random() % lists.size()];
      if (random() % 8 < 5) {
        both.Grow(list, static_cast<int64_t>(random()) % (1 + blocks / 32));
      } else {
        both.Cut(list, random() % 2 == 0 ? 0 : random() % (list.size() + 1));
      }
      ASSERT_FALSE(HasFatalFailure()) << "step " << step;
      ASSERT_EQ(both.pool.free(), Blocks(std::ssize(both.free))) << "step " << step;
      if (step % blocks != 0) continue;
      ASSERT_EQ(both.pool.FindViolation(), std::nullopt) << "step " << step;
      ASSERT_EQ(both.pool.FreeChunksAtEnd(), both.FreeChunksAtEnd(blocks)) << "step " << step;
    }
  }
}

// Sequences come and go in a full pool; then the load falls to a tenth, and what stays grows and
// ends and comes again. Returns how many chunks at the end nobody holds anything of.
int64_t FreeChunksAfterChurn(Blocks chunk_option) {
  constexpr int64_t kBlocks = 4096, kChunk = 64, kEach = 20;
  BlockPool pool = *BlockPool::Create(Blocks(kBlocks), chunk_option);
  std::mt19937 random(11);
  std::vector<std::vector<BlockId>> sequences;
  const auto end_one = [&] {
    std::swap(sequences[random() % sequences.size()], sequences.back());
    pool.Release(sequences.back());
    sequences.pop_back();
  };
  const auto churn = [&](size_t most, int rounds) {
    for (int i = 0; i < rounds; ++i) {
      while (sequences.size() >= most) end_one();
      pool.TryAcquire(Blocks(1 + static_cast<int64_t>(random() % kEach)), sequences.emplace_back());
    }
  };
  churn(350, 20'000);
  churn(35, 2'000);
  int64_t held_until = 0;
  for (const auto& blocks : sequences) {
    for (const BlockId id : blocks) held_until = std::max<int64_t>(held_until, id.index() + 1);
  }
  const int64_t free_chunks = (kBlocks - held_until) / kChunk;
  EXPECT_EQ(pool.FreeChunksAtEnd().value_or(free_chunks), free_chunks);
  return free_chunks;
}

TEST(LowestFirst, AfterChurnChunksAreFreeThatTheOtherOrderLeavesInUse) {
  EXPECT_GE(FreeChunksAfterChurn(Blocks(64)), 50) << "of 64; a tenth of the blocks is held";
  EXPECT_LE(FreeChunksAfterChurn(Blocks(0)), 5);
}

}  // namespace
}  // namespace plimsoll
