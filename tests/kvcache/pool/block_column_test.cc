#include "kvcache/pool/block_column.h"

#include <gmock/gmock.h>

#include <limits>
#include <utility>

namespace plimsoll {
namespace {

struct Row {
  int64_t wide;
  int32_t narrow;
  int32_t other;
};

TEST(BlockColumn, FieldsOfARowLieTogetherAndAreTheirOwnersAlone) {
  const auto rows = std::make_shared<ZeroedArray<Row>>(100);
  BlockColumn wide(rows, &Row::wide);
  BlockColumn narrow(rows, &Row::narrow);
  ASSERT_TRUE(wide && narrow);
  EXPECT_EQ(wide[99], 0);
  EXPECT_EQ(narrow[99], 0);
  for (int i = 0; i < 100; ++i) {
    wide[static_cast<size_t>(i)] = -i;
    narrow[static_cast<size_t>(i)] = i;
  }
  EXPECT_EQ(reinterpret_cast<std::byte*>(&narrow[7]) - reinterpret_cast<std::byte*>(&wide[7]),
            sizeof(int64_t));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(wide[static_cast<size_t>(i)], -i);
    EXPECT_EQ(narrow[static_cast<size_t>(i)], i);
    EXPECT_EQ((*rows)[static_cast<size_t>(i)].other, 0);
  }
}

TEST(BlockColumn, KeepsItsRows) {
  auto rows = std::make_shared<ZeroedArray<Row>>(1000);
  const std::weak_ptr<ZeroedArray<Row>> watched = rows;
  BlockColumn<int32_t> column(rows, &Row::narrow);
  rows.reset();
  column[999] = 5;
  const BlockColumn<int32_t> moved = std::move(column);
  EXPECT_EQ(moved[999], 5);
  EXPECT_FALSE(watched.expired());
}

TEST(BlockColumn, IsEmptyWithoutMemory) {
  constexpr size_t kTooMany = std::numeric_limits<size_t>::max() / 4;
  EXPECT_TRUE(BlockColumn<int32_t>(3));
  EXPECT_FALSE(BlockColumn<int64_t>(kTooMany));
  EXPECT_FALSE(BlockColumn(std::make_shared<ZeroedArray<Row>>(kTooMany), &Row::wide));
}

}  // namespace
}  // namespace plimsoll
