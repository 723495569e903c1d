#include "engine/ops/attention_plan.h"

#include <algorithm>

#include "kvcache/base/check.h"

namespace plimsoll::cuda {
namespace {

constexpr int32_t kPieceStep = 64;  // four warps, 16 positions each
constexpr int32_t kTile = 16;

// Whether row `i` goes on in the same sequence where the row before it is.
bool Continues(std::span<const RowPlace> rows, size_t i) {
  return rows[i].table == rows[i - 1].table && rows[i].position == rows[i - 1].position + 1;
}

int32_t FirstSeen(int64_t position, int64_t window) {
  return static_cast<int32_t>(position < window ? 0 : position - window + 1);
}

// Rows [first, end), at all that they see.
AttentionItem ItemOf(std::span<const RowPlace> rows, size_t first, size_t end, int64_t window) {
  return {.row = static_cast<int32_t>(first),
          .rows = static_cast<int32_t>(end - first),
          .begin = FirstSeen(rows[first].position, window),
          .end = static_cast<int32_t>(rows[end - 1].position + 1),
          .partial = -1};
}

// One item, or chunk, for each group of rows.
void GroupRows(std::span<const RowPlace> rows, const AttentionPlanShape& shape,
               AttentionPlan& plan) {
  for (size_t first = 0, end = 0; first < rows.size(); first = end) {
    PLIMSOLL_CHECK(rows[first].position >= 0, rows[first].position);
    for (end = first + 1; end < rows.size() && Continues(rows, end);) ++end;
    PLIMSOLL_CHECK(rows[end - 1].position < INT32_MAX, rows[end - 1].position);
    const auto few = static_cast<size_t>(shape.rows_per_item);
    const bool many = shape.rows_per_chunk > 0 && end - first > few;
    const size_t most = many ? static_cast<size_t>(shape.rows_per_chunk) : few;
    std::vector<AttentionItem>& groups = many ? plan.chunks : plan.items;
    for (size_t at = first; at < end; at += most) {
      groups.push_back(ItemOf(rows, at, std::min(at + most, end), shape.window));
    }
  }
}

// Pieces are counted from the tile that an item begins in.
int32_t Start(const AttentionItem& item) { return item.begin / kTile * kTile; }

int64_t Pieces(const AttentionItem& item, int32_t tokens) {
  return (item.end - Start(item) + int64_t{tokens} - 1) / tokens;
}

// How many pieces of `steps` steps make `of` of them, rounded up; exact below 2^31, since the
// quotient is at least half a step away from a whole number.
int32_t PiecesOf(int32_t of, double steps_inverse, int32_t steps) {
  return static_cast<int32_t>((of + steps - 0.5) * steps_inverse);
}

// The shortest piece with which everything runs at once, or 0 if nothing is to be split. Pieces of
// k steps make total / k of them at least, and less than one more for each group.
int32_t PieceTokens(const std::vector<AttentionItem>& groups, int64_t most, int32_t least_tokens,
                    std::vector<int32_t>& steps_of) {
  const int64_t spare = most - std::ssize(groups);
  if (spare <= 0) return 0;
  steps_of.clear();
  int64_t total = 0;
  for (const AttentionItem& group : groups) {
    steps_of.push_back((group.end - Start(group) + kPieceStep - 1) / kPieceStep);
    total += steps_of.back();
  }
  const auto fits = [&](int32_t steps) {
    const double inverse = 1.0 / steps;
    int64_t pieces = 0;
    for (const int32_t of : steps_of) pieces += PiecesOf(of, inverse, steps);
    return pieces <= most;
  };
  const int64_t least = least_tokens / kPieceStep;  // the answer is not below
  auto low = static_cast<int32_t>(std::max(least, CeilDivide(total, most)));
  auto high = static_cast<int32_t>(std::max<int64_t>(low, CeilDivide(total, spare)));
  while (low < high) {
    const int32_t middle = low + (high - low) / 2;
    if (fits(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low * kPieceStep;
}

void Split(const AttentionItem& group, int32_t tokens, AttentionPlan& plan,
           std::vector<AttentionItem>& items) {
  const auto pieces = static_cast<int32_t>(Pieces(group, tokens));
  for (int32_t row = 0; row < group.rows; ++row) {
    plan.splits.push_back({.row = group.row + row,
                           .first = plan.partials + row,
                           .stride = group.rows,
                           .count = pieces});
  }
  for (int32_t piece = 0; piece < pieces; ++piece) {
    AttentionItem item = group;
    item.begin = std::max(group.begin, Start(group) + piece * tokens);
    item.end = piece + 1 == pieces ? group.end : Start(group) + (piece + 1) * tokens;
    item.partial = plan.partials;
    plan.partials += group.rows;
    items.push_back(item);
  }
}

// Cuts the positions of groups, of which `most` pieces run at once.
void Cut(int64_t most, int32_t least_tokens, AttentionPlan& plan,
         std::vector<AttentionItem>& items) {
  const int32_t tokens = PieceTokens(items, most, least_tokens, plan.steps);
  if (tokens == 0) return;
  // Groups are taken from the front while their pieces go to the back, then what is left is moved
  // up.
  const size_t groups = items.size();
  for (size_t i = 0; i < groups; ++i) {
    const AttentionItem group = items[i];
    if (Pieces(group, tokens) > 1) {
      Split(group, tokens, plan, items);
    } else {
      items.push_back(group);
    }
  }
  items.erase(items.begin(), items.begin() + static_cast<ptrdiff_t>(groups));
}

int64_t ItemsAtOnce(const AttentionPlanShape& shape) {
  return shape.blocks_at_once / shape.blocks_per_item;
}
int64_t ChunksAtOnce(const AttentionPlanShape& shape) {
  return shape.chunk_blocks_at_once / shape.blocks_per_chunk;
}

}  // namespace

int32_t LeastTokensPerPiece(int32_t heads, int32_t kv_heads) {
  return heads / kv_heads <= 4 ? 256 : 512;
}

void PlanAttention(std::span<const RowPlace> rows, const AttentionPlanShape& shape,
                   AttentionPlan& plan) {
  PLIMSOLL_CHECK(shape.least_tokens > 0 && shape.least_tokens % kPieceStep == 0,
                 shape.least_tokens);
  PLIMSOLL_CHECK(shape.rows_per_item > 0 && shape.blocks_per_item > 0 && shape.window > 0);
  plan.items.clear();
  plan.chunks.clear();
  plan.splits.clear();
  plan.partials = 0;
  GroupRows(rows, shape, plan);
  Cut(ItemsAtOnce(shape), shape.least_tokens, plan, plan.items);
  Cut(ChunksAtOnce(shape), shape.least_tokens, plan, plan.chunks);
}

int64_t MostAttentionItems(int64_t rows, const AttentionPlanShape& shape) {
  return std::max(rows, ItemsAtOnce(shape));
}

int64_t MostAttentionChunks(int64_t rows, const AttentionPlanShape& shape) {
  return shape.rows_per_chunk == 0 ? 0 : std::max(rows, ChunksAtOnce(shape));
}

int64_t MostAttentionPartials(const AttentionPlanShape& shape) {
  return ItemsAtOnce(shape) * shape.rows_per_item + ChunksAtOnce(shape) * shape.rows_per_chunk;
}

}  // namespace plimsoll::cuda
