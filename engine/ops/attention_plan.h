// How the work of paged attention is cut up for a GPU.
//
// Rows of one sequence that follow each other share an item, as far as its columns go; where they
// are more than that, they are chunks, which have more columns and a kernel of their own. If there
// are fewer items than run at once, their positions are cut into pieces of one length, the shortest
// multiple of 64 with which all of them still run at once: then they share the memory's bandwidth
// from begin to end, and none is left over for a second turn. (FlashInfer's scheduler searches for
// the same.) Pieces that are too short are not worth the second kernel that combines them.
//
// Threads: pure. Cost: O(rows + items), a few times over; allocates only to grow the plan. Errors:
// none; positions are below 2^31.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/ops/attention_cuda.h"
#include "engine/ops/ops.h"

namespace plimsoll::cuda {

using AttentionItem = PlimsollCudaAttentionItem;
using AttentionSplit = PlimsollCudaAttentionSplit;

struct AttentionPlanShape {
  int32_t rows_per_item;
  int32_t blocks_per_item;  // of threads
  int32_t blocks_at_once;   // of threads, on the whole device: a wave
  int64_t window;
  int32_t least_tokens;  // of a piece; a multiple of 64
  // Of rows that follow each other and are more than an item's, likewise. No rows: items take all.
  int32_t rows_per_chunk = 0;
  int32_t blocks_per_chunk = 1;
  int32_t chunk_blocks_at_once = 1;

  friend bool operator==(const AttentionPlanShape&, const AttentionPlanShape&) = default;
};

// 256 positions where few heads share a KV head, 512 where each position is more work.
int32_t LeastTokensPerPiece(int32_t heads, int32_t kv_heads);

struct AttentionPlan {
  std::vector<AttentionItem> items;
  std::vector<AttentionItem> chunks;
  std::vector<AttentionSplit> splits;
  int32_t partials = 0;  // partial results that the items leave

  std::vector<int32_t> steps;  // while it is made: of 64 positions, those of each group of rows
};

// Every position that a row attends to is in exactly one item or chunk with that row. There are no
// more items than fit a wave, or else one for each group of rows; nor chunks, since the two kernels
// run one after the other.
void PlanAttention(std::span<const RowPlace> rows, const AttentionPlanShape& shape,
                   AttentionPlan& plan);

// No plan of `shape` for so many rows has more than these, so buffers can be taken up front.
int64_t MostAttentionItems(int64_t rows, const AttentionPlanShape& shape);
int64_t MostAttentionChunks(int64_t rows, const AttentionPlanShape& shape);
int64_t MostAttentionPartials(const AttentionPlanShape& shape);

}  // namespace plimsoll::cuda
