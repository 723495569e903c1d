// What a pool holds, by hand and against adding up one sequence after the other.
#include "kvcache/sizing/pool_capacity.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

// 100 blocks of 16 tokens, 10 bytes each.
PoolShape Pool() {
  return {.bytes = Bytes(1000),
          .block_bytes = Bytes(10),
          .state_bytes = Bytes(0),
          .block_tokens = Tokens(16)};
}

TEST(PoolCapacity, SequencesAreBlocksOverThoseOfOne) {
  EXPECT_EQ(SequencesIn(Pool(), Tokens(16)), 100);
  EXPECT_EQ(SequencesIn(Pool(), Tokens(17)), 50);
  EXPECT_EQ(SequencesIn(Pool(), Tokens(1600)), 1);
  EXPECT_EQ(SequencesIn(Pool(), Tokens(1601)), 0);
  EXPECT_EQ(LongestContextIn(Pool(), Tokens(5000)), Tokens(1600));
  EXPECT_EQ(LongestContextIn(Pool(), Tokens(100)), Tokens(100));
}

TEST(PoolCapacity, EachSequenceLooksAhead) {
  PoolShape pool = Pool();
  pool.lookahead = Tokens(5);
  EXPECT_EQ(SequencesIn(pool, Tokens(11)), 100);
  EXPECT_EQ(SequencesIn(pool, Tokens(12)), 50);
  EXPECT_EQ(LongestContextIn(pool, Tokens(5000)), Tokens(1595));
}

// 40 tokens of prefix are two full blocks; 64 tokens of context are four, so two are each's own.
TEST(PoolCapacity, FullBlocksOfASharedPrefixAreThereOnce) {
  PoolShape pool = Pool();
  pool.shared_prefix = Tokens(40);
  EXPECT_EQ(SequencesIn(pool, Tokens(64)), 49);
  EXPECT_EQ(SequencesIn(pool, Tokens(40)), 98);  // and the third block
  // Nothing but prefix: the block with the last token is still each sequence's own.
  EXPECT_EQ(SequencesIn(pool, Tokens(32)), 99);
  EXPECT_EQ(SequencesIn(pool, Tokens(16)), 100);
}

TEST(PoolCapacity, StatesStandBesideBlocks) {
  PoolShape pool = Pool();
  pool.state_bytes = Bytes(25);
  EXPECT_EQ(SequencesIn(pool, Tokens(16)), 1000 / 35);
  EXPECT_EQ(LongestContextIn(pool, Tokens(5000)), Tokens(97 * 16));
  pool.block_bytes = Bytes(0);
  EXPECT_EQ(SequencesIn(pool, Tokens(1 << 20)), 40);
  EXPECT_EQ(LongestContextIn(pool, Tokens(5000)), Tokens(5000));
  pool.state_bytes = Bytes(0);
  EXPECT_EQ(SequencesIn(pool, Tokens(1 << 20)), kUnlimited);
}

// Six of the ten bytes of a block are of layers with a window of 32 tokens: three blocks at most.
TEST(PoolCapacity, GroupsKeepOnlyTheirWindows) {
  PoolShape pool = Pool();
  pool.windows = {{.window = Tokens(32), .block_bytes = Bytes(6)}};
  EXPECT_EQ(GroupedSequencesIn(pool, Tokens(48)), 1000 / (3 * 10));
  EXPECT_EQ(GroupedSequencesIn(pool, Tokens(160)), 1000 / (10 * 4 + 3 * 6));
  EXPECT_EQ(SequencesIn(pool, Tokens(160)), 10);
  // The last three of ten blocks: all are each sequence's own until the prefix reaches them.
  pool.shared_prefix = Tokens(112);
  EXPECT_EQ(GroupedSequencesIn(pool, Tokens(160)), (1000 - 7 * 4) / (3 * 10));
  pool.shared_prefix = Tokens(128);
  EXPECT_EQ(GroupedSequencesIn(pool, Tokens(160)), (1000 - 8 * 4 - 6) / (2 * 10));
  pool.shared_prefix = Tokens(0);
  pool.windows[0].block_bytes = Bytes(10);  // every layer
  EXPECT_EQ(GroupedSequencesIn(pool, Tokens(1 << 20)), 33);
}

// Adds up block by block.
int64_t NaiveSequences(const PoolShape& pool, Tokens context) {
  const int64_t per_block = pool.block_tokens.value();
  const int64_t tokens = context.value() + pool.lookahead.value();
  int64_t shared = 0;
  while ((shared + 1) * per_block <= pool.shared_prefix.value() &&
         (shared + 1) * per_block < context.value()) {
    ++shared;
  }
  int64_t own = 0;
  while ((shared + own) * per_block < tokens) ++own;
  int64_t used = shared * pool.block_bytes.value();
  int64_t sequences = 0;
  while (true) {
    used += own * pool.block_bytes.value() + pool.state_bytes.value();
    if (used > pool.bytes.value()) return sequences;
    ++sequences;
  }
}

TEST(PoolCapacity, AgreesWithAddingUpBlockByBlock) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const auto up_to = [&](int64_t most) {
    return std::uniform_int_distribution<int64_t>(0, most)(random);
  };
  for (int round = 0; round < 3000; ++round) {
    const PoolShape pool{.bytes = Bytes(up_to(5000)),
                         .block_bytes = Bytes(1 + up_to(50)),
                         .state_bytes = Bytes(up_to(1) * up_to(60)),
                         .block_tokens = Tokens(int64_t{1} << up_to(5)),
                         .lookahead = Tokens(up_to(1) * up_to(9)),
                         .shared_prefix = Tokens(up_to(1) * up_to(300))};
    const Tokens context(1 + up_to(400));
    EXPECT_EQ(SequencesIn(pool, context), NaiveSequences(pool, context));
    EXPECT_EQ(GroupedSequencesIn(pool, context), SequencesIn(pool, context));
    const Tokens longest = LongestContextIn(pool, Tokens(1 << 20));
    const PoolShape alone{.bytes = pool.bytes,
                          .block_bytes = pool.block_bytes,
                          .state_bytes = pool.state_bytes,
                          .block_tokens = pool.block_tokens,
                          .lookahead = pool.lookahead};
    if (longest > Tokens(0)) {
      EXPECT_GE(SequencesIn(alone, longest), 1);
    }
    EXPECT_EQ(SequencesIn(alone, longest + Tokens(1)), 0);
  }
}

}  // namespace
}  // namespace plimsoll
