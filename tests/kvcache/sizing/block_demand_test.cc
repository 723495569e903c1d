#include "kvcache/sizing/block_demand.h"

#include <gtest/gtest.h>

namespace plimsoll {
namespace {

TEST(BlockDemand, TheLastBlockMayBePartFull) {
  EXPECT_EQ(BlocksForSequence(Tokens(0), Tokens(16)), Blocks(0));
  EXPECT_EQ(BlocksForSequence(Tokens(1), Tokens(16)), Blocks(1));
  EXPECT_EQ(BlocksForSequence(Tokens(16), Tokens(16)), Blocks(1));
  EXPECT_EQ(BlocksForSequence(Tokens(17), Tokens(16)), Blocks(2));
  EXPECT_EQ(BlocksForSequence(Tokens(2048), Tokens(1)), Blocks(2048));
  EXPECT_EQ(BlocksForSequence(Tokens(kMaxTokens), Tokens(1024)), Blocks(1 << 30));
}

// Against counting token by token: a block is taken whenever the last one is full.
TEST(BlockDemand, AgreesWithFillingBlocksOneTokenAtATime) {
  for (const int64_t block : {1, 2, 16, 1024}) {
    int64_t blocks = 0;
    int64_t room = 0;
    for (int64_t length = 1; length <= 3000; ++length) {
      if (room == 0) {
        ++blocks;
        room = block;
      }
      --room;
      ASSERT_EQ(BlocksForSequence(Tokens(length), Tokens(block)), Blocks(blocks)) << length;
    }
  }
}

}  // namespace
}  // namespace plimsoll
