// Plans of attention: worked by hand, and random ones, in which every row meets every position that
// it attends to exactly once.
#include "engine/ops/attention_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "tests/engine/ops/problems.h"

namespace plimsoll::cuda {
namespace {

constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::max();

// Tables are only compared here.
const int32_t* Table(int64_t sequence) {
  static const std::vector<int32_t> tables(1000);
  return &tables[static_cast<size_t>(sequence)];
}

AttentionPlan PlanOf(const std::vector<RowPlace>& rows, const AttentionPlanShape& shape) {
  AttentionPlan plan;
  PlanAttention(rows, shape, plan);
  return plan;
}

TEST(AttentionPlan, OneLongSequenceIsSplitOverTheDevice) {
  const AttentionPlan plan = PlanOf({{999, Table(0)}}, {.rows_per_item = 2,
                                                        .blocks_per_item = 8,
                                                        .blocks_at_once = 33,  // four items
                                                        .window = kNoWindow,
                                                        .least_tokens = 64});
  ASSERT_EQ(plan.items.size(), 4u);  // of 256: the smallest multiple of 64 that makes four of 1000
  for (int32_t i = 0; i < 4; ++i) {
    const AttentionItem& item = plan.items[static_cast<size_t>(i)];
    EXPECT_EQ(item.row, 0);
    EXPECT_EQ(item.rows, 1);
    EXPECT_EQ(item.begin, 256 * i);
    EXPECT_EQ(item.end, std::min(256 * (i + 1), 1000));
    EXPECT_EQ(item.partial, i);
  }
  ASSERT_EQ(plan.splits.size(), 1u);
  EXPECT_EQ(plan.splits[0].row, 0);
  EXPECT_EQ(plan.splits[0].first, 0);
  EXPECT_EQ(plan.splits[0].stride, 1);
  EXPECT_EQ(plan.splits[0].count, 4);
  EXPECT_EQ(plan.partials, 4);
}

TEST(AttentionPlan, ShortSequencesStayWhole) {
  const AttentionPlan plan =
      PlanOf({{100, Table(0)}, {255, Table(1)}, {256, Table(2)}}, {.rows_per_item = 1,
                                                                   .blocks_per_item = 1,
                                                                   .blocks_at_once = 1000,
                                                                   .window = kNoWindow,
                                                                   .least_tokens = 256});
  ASSERT_EQ(plan.items.size(), 4u);
  EXPECT_EQ(plan.items[0].partial, -1);
  EXPECT_EQ(plan.items[1].partial, -1);
  EXPECT_EQ(plan.items[2].partial, 0);
  EXPECT_EQ(plan.items[3].begin, 256);
  EXPECT_EQ(plan.items[3].end, 257);
}

TEST(AttentionPlan, RowsOfOnePromptShareItems) {
  const AttentionPlan plan = PlanOf(
      {{7, Table(0)}, {8, Table(0)}, {9, Table(0)}, {9, Table(1)}, {20, Table(1)}, {21, Table(1)}},
      {.rows_per_item = 2,
       .blocks_per_item = 1,
       .blocks_at_once = 1,
       .window = 4,
       .least_tokens = 64});
  ASSERT_EQ(plan.items.size(), 4u);
  EXPECT_EQ(plan.items[0].rows, 2);
  EXPECT_EQ(plan.items[0].begin, 4);  // row 0 sees 4 to 7
  EXPECT_EQ(plan.items[0].end, 9);
  EXPECT_EQ(plan.items[1].row, 2);
  EXPECT_EQ(plan.items[1].rows, 1);
  EXPECT_EQ(plan.items[2].row, 3);
  EXPECT_EQ(plan.items[3].row, 4);
  EXPECT_EQ(plan.items[3].rows, 2);
}

TEST(AttentionPlan, MoreRowsThanAnItemHasAreChunks) {
  const AttentionPlan plan = PlanOf(
      {{7, Table(0)}, {8, Table(0)}, {9, Table(1)}, {10, Table(1)}, {11, Table(1)}, {12, Table(1)}},
      {.rows_per_item = 2,
       .blocks_per_item = 1,
       .blocks_at_once = 1,
       .window = kNoWindow,
       .least_tokens = 64,
       .rows_per_chunk = 3,
       .blocks_per_chunk = 1,
       .chunk_blocks_at_once = 1});
  ASSERT_EQ(plan.items.size(), 1u);
  EXPECT_EQ(plan.items[0].rows, 2);
  ASSERT_EQ(plan.chunks.size(), 2u);
  EXPECT_EQ(plan.chunks[0].row, 2);
  EXPECT_EQ(plan.chunks[0].rows, 3);
  EXPECT_EQ(plan.chunks[0].end, 12);
  EXPECT_EQ(plan.chunks[1].row, 5);
  EXPECT_EQ(plan.chunks[1].rows, 1);
  EXPECT_TRUE(plan.splits.empty());
}

TEST(AttentionPlan, APlanIsUsedAgainWithoutAllocating) {
  const AttentionPlanShape shape = {1, 1, 100, kNoWindow, 64};
  AttentionPlan plan;
  PlanAttention(std::vector<RowPlace>{{5000, Table(0)}}, shape, plan);
  const size_t capacity = plan.items.capacity();
  PlanAttention(std::vector<RowPlace>{{64, Table(0)}}, shape, plan);
  EXPECT_EQ(plan.items.size(), 2u);
  EXPECT_EQ(plan.partials, 2);
  EXPECT_EQ(plan.items.capacity(), capacity);
}

// How often each row meets each position, and whether its pieces are where its split says.
void ExpectEveryPositionOnce(const std::vector<RowPlace>& rows, const AttentionPlanShape& shape,
                             const AttentionPlan& plan) {
  std::vector<std::vector<int>> met(rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    met[r].resize(static_cast<size_t>(rows[r].position + 1));
  }
  std::vector<int> owner(static_cast<size_t>(plan.partials), -1);
  std::vector<AttentionItem> items = plan.items;
  items.insert(items.end(), plan.chunks.begin(), plan.chunks.end());
  for (const AttentionItem& item : items) {
    ASSERT_LE(item.rows, std::max(shape.rows_per_item, shape.rows_per_chunk));
    ASSERT_LT(item.begin, item.end);
    for (int32_t i = 0; i < item.rows; ++i) {
      const size_t row = static_cast<size_t>(item.row) + static_cast<size_t>(i);
      ASSERT_EQ(rows[row].table, rows[static_cast<size_t>(item.row)].table);
      const int32_t partial = item.partial + i;
      if (item.partial >= 0) owner[static_cast<size_t>(partial)] = item.row + i;
      for (int64_t p = item.begin; p < item.end && p <= rows[row].position; ++p) {
        ++met[row][static_cast<size_t>(p)];
      }
    }
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int64_t p = 0; p <= rows[r].position; ++p) {
      const int wanted = rows[r].position - p < shape.window ? 1 : met[r][static_cast<size_t>(p)];
      ASSERT_EQ(met[r][static_cast<size_t>(p)], wanted) << r;
    }
  }
  for (const AttentionSplit& split : plan.splits) {
    for (int32_t i = 0; i < split.count; ++i) {
      const int32_t partial = split.first + i * split.stride;
      EXPECT_EQ(owner[static_cast<size_t>(partial)], split.row);
    }
  }
}

std::vector<RowPlace> RandomRows(std::mt19937& rng) {
  std::vector<RowPlace> rows;
  const int sequences = static_cast<int>(rng() % 6) + 1;
  for (int s = 0; s < sequences; ++s) {
    const int64_t first = static_cast<int64_t>(rng() % 2 == 0 ? rng() % 40 : rng() % 3000);
    const int64_t count = rng() % 2 == 0 ? 1 : static_cast<int64_t>(rng() % 20) + 1;
    for (int64_t i = 0; i < count; ++i) rows.push_back({first + i, Table(s)});
  }
  return rows;
}

TEST(AttentionPlan, CoversEveryPositionOnceWithinAWave) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (int round = 0; round < 300; ++round) {
    const std::vector<RowPlace> rows = RandomRows(rng);
    const AttentionPlanShape shape = {
        .rows_per_item = static_cast<int32_t>(rng() % 8) + 1,
        .blocks_per_item = static_cast<int32_t>(rng() % 8) + 1,
        .blocks_at_once = static_cast<int32_t>(rng() % 500) + 1,
        .window = rng() % 2 == 0 ? kNoWindow : static_cast<int64_t>(rng() % 300) + 1,
        .least_tokens = rng() % 2 == 0 ? 64 : 256,
        .rows_per_chunk = static_cast<int32_t>(rng() % 12),
        .blocks_per_chunk = static_cast<int32_t>(rng() % 8) + 1,
        .chunk_blocks_at_once = static_cast<int32_t>(rng() % 300) + 1};
    const AttentionPlan plan = PlanOf(rows, shape);
    ExpectEveryPositionOnce(rows, shape, plan);
    if (HasFatalFailure()) return;
    const auto is_cut = [](const AttentionItem& item) { return item.partial >= 0; };
    if (std::any_of(plan.items.begin(), plan.items.end(), is_cut)) {
      EXPECT_LE(std::ssize(plan.items) * shape.blocks_per_item, shape.blocks_at_once);
    }
    if (std::any_of(plan.chunks.begin(), plan.chunks.end(), is_cut)) {
      EXPECT_LE(std::ssize(plan.chunks) * shape.blocks_per_chunk, shape.chunk_blocks_at_once);
    }
    EXPECT_LE(plan.partials, MostAttentionPartials(shape));
    EXPECT_LE(std::ssize(plan.chunks), MostAttentionChunks(std::ssize(rows), shape));
    EXPECT_LE(std::ssize(plan.items), MostAttentionItems(std::ssize(rows), shape));
  }
}

}  // namespace
}  // namespace plimsoll::cuda
