#include "engine/decoder/layer_weights.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace plimsoll {
namespace {

// Five rows of six numbers, and of them the rows 2 and 3.
TEST(RowsOf, AFloatMatrixMovesByWholeRows) {
  const std::vector<std::byte> data(60);
  const WeightView all{data.data(), ElementType::kBf16, 5, 6};
  const WeightView some = RowsOf(all, 2, 2);
  EXPECT_EQ(some.data, data.data() + 2 * 6 * 2);
  EXPECT_EQ(some.rows, 2);
  EXPECT_EQ(some.cols, 6);
  EXPECT_EQ(some.type, ElementType::kBf16);
  EXPECT_EQ(some.scales, nullptr);
}

TEST(RowsOf, ScalesMoveAlong) {
  const std::vector<std::byte> data(60), scales(60);
  const WeightView bytes{data.data(), ElementType::kInt8, 5, 6, scales.data(), 6};
  EXPECT_EQ(RowsOf(bytes, 3, 2).data, data.data() + 3 * 6);
  EXPECT_EQ(RowsOf(bytes, 3, 2).scales, scales.data() + 3 * 2);
  // Seven numbers in four bytes; groups of 4 make two scales with their zeros.
  const WeightView nibbles{data.data(), ElementType::kInt4, 5, 7, scales.data(), 4};
  EXPECT_EQ(RowsOf(nibbles, 3, 2).data, data.data() + 3 * 4);
  EXPECT_EQ(RowsOf(nibbles, 3, 2).scales, scales.data() + 3 * 2 * 4);
  EXPECT_EQ(RowsOf(nibbles, 3, 2).group, 4);
}

TEST(RowsOf, OfNothingThereIsNothing) { EXPECT_EQ(RowsOf({}, 3, 2).data, nullptr); }

TEST(RowsOfDeathTest, RowsThatAreNotThereAbort) {
  const std::vector<std::byte> data(60);
  const WeightView all{data.data(), ElementType::kBf16, 5, 6};
  EXPECT_DEATH(RowsOf(all, 4, 2), "check failed");
  EXPECT_DEATH(RowsOf(all, -1, 2), "check failed");
}

}  // namespace
}  // namespace plimsoll
