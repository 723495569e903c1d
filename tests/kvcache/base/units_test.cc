#include "kvcache/base/units.h"

#include <gtest/gtest.h>

#include <limits>

#include "kvcache/base/ids.h"

namespace plimsoll {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

TEST(Units, AddSubtractMultiplyAndDivide) {
  EXPECT_EQ(Bytes(3) + Bytes(4), Bytes(7));
  EXPECT_EQ(Bytes(7) - Bytes(7), Bytes(0));
  EXPECT_EQ(3 * Tokens(4), Tokens(12));
  EXPECT_EQ(Bytes(100) / Bytes(7), 14);
}

TEST(Units, CoveringRoundsUpAndFittingRoundsDown) {
  EXPECT_EQ(BlocksCovering(Tokens(0), Tokens(16)), Blocks(0));
  EXPECT_EQ(BlocksCovering(Tokens(1), Tokens(16)), Blocks(1));
  EXPECT_EQ(BlocksCovering(Tokens(kMost), Tokens(16)), Blocks(kMost / 16 + 1));
  EXPECT_EQ(BlocksFittingIn(Bytes(8191), Bytes(4096)), Blocks(1));
}

TEST(Units, CheckedArithmeticSaysNoInsteadOfWrapping) {
  EXPECT_EQ(CheckedAdd(kMost - 1, 1), kMost);
  EXPECT_EQ(CheckedAdd(kMost, 1), std::nullopt);
  EXPECT_EQ(CheckedProduct({1 << 20, 1 << 20, 1 << 20}), int64_t{1} << 60);
  EXPECT_EQ(CheckedProduct({1 << 21, 1 << 21, 1 << 21}), std::nullopt);
}

TEST(UnitsDeathTest, LeavingTheRangeAborts) {
  EXPECT_DEATH(Bytes(1) - Bytes(2), "n >= 0");
  EXPECT_DEATH(Bytes(kMost) + Bytes(1), "sum.has_value");
  EXPECT_DEATH(Bytes(kMost) * 2, "product.has_value");
  EXPECT_DEATH(Bytes(1) / Bytes(0), "b.n_ > 0");
  EXPECT_DEATH(Blocks(-1), "n >= 0");
}

TEST(IdsDeathTest, ANegativeIdAborts) {
  EXPECT_EQ(BlockId(3), BlockId(3));
  EXPECT_LT(SequenceId(3), SequenceId(4));
  EXPECT_DEATH(BlockId(-1), "index >= 0");
  EXPECT_DEATH(SequenceId(-1), "number >= 0");
}

}  // namespace
}  // namespace plimsoll
