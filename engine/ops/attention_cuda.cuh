// The kernels of paged attention: one block of threads for each item, KV head and pass over its
// heads; and, where positions of a row lie in several items, what combines their results.
//
// Threads: four warps, whose results meet once in shared memory. Cost: attention_warp_cuda.cuh.
// Errors: none.
#pragma once

#include "engine/ops/attention_warp_cuda.cuh"

namespace plimsoll::cuda {

// Bytes of shared memory: sums and {peak, weight} of each warp's columns.
template <int kDim, int kTiles>
constexpr int AttentionSharedBytes() {
  return kAttentionWarps * 8 * kTiles * (kDim + 2) * static_cast<int>(sizeof(float));
}

// Softmax over pieces that were summed with peaks of their own.
struct Combined {
  float peak = -INFINITY;
  float weight = 0;
  float sum = 0;

  // Takes in a piece; one that saw nothing has the peak -infinity and counts for nothing.
  SIMT_DEVICE void Add(float other_peak, float other_weight, float other_sum) {
    if (other_peak == -INFINITY) return;
    const float higher = fmaxf(peak, other_peak);
    const float mine = simt::PowerOfTwo(peak - higher);
    const float others = simt::PowerOfTwo(other_peak - higher);
    weight = weight * mine + other_weight * others;
    sum = sum * mine + other_sum * others;
    peak = higher;
  }

  // What softmax gives, with one more score that has no value.
  SIMT_DEVICE float Result(const float* sinks, int head) {
    if (sinks != nullptr) Add(sinks[head] * kLog2E, 1, 0);
    return sum / weight;
  }
};

// One dim of one column, over the pieces that were summed up apart. `index` runs over the columns'
// dims.
template <int kDim, int kColumns, int kPieces>
SIMT_DEVICE void StoreColumn(const AttentionParameters& p, const AttentionItem& item,
                             const float* weights, const float* sums, int index) {
  const int column = index / kDim;
  const int dim = index % kDim;
  const AttentionColumn at_column = ColumnOf(p, item, column);
  if (at_column.head < 0) return;
  const int row = at_column.row;
  const int head = at_column.head;
  Combined all;
#pragma unroll
  for (int piece = 0; piece < kPieces; ++piece) {
    const int at = piece * kColumns + column;
    all.Add(weights[2 * at], weights[2 * at + 1], sums[at * kDim + dim]);
  }
  if (item.partial < 0) {
    const int64_t at = (static_cast<int64_t>(row) * p.heads + head) * kDim + dim;
    return p.out.Write(at, all.Result(p.sinks, head));
  }
  const int64_t at = static_cast<int64_t>(item.partial + row - item.row) * p.heads + head;
  p.partial_sums[at * kDim + dim] = all.sum;
  if (dim == 0) {
    p.partial_weights[2 * at] = all.peak;
    p.partial_weights[2 * at + 1] = all.weight;
  }
}

template <PlimsollCudaType kType, int kDim, int kTiles, int kMinBlocks>
SIMT_KERNEL(32 * kAttentionWarps, kMinBlocks)
Attention(const AttentionParameters p) {
  constexpr int kColumns = 8 * kTiles;
  const AttentionItem item = p.items[simt::BlockX()];
  if (item.rows == 0) return;
  AttentionWarp<kType, kDim, kTiles> warp;
  warp.Begin(p, item, 0);
  warp.Attend(p);
  float* const sums = simt::SharedMemory<float>();
  float* const weights = sums + kAttentionWarps * kColumns * kDim;
  const int first = simt::ThreadX() / 32 * kColumns;
  warp.Store(weights + 2 * first, sums + first * kDim);
  simt::Synchronize();
  for (int i = simt::ThreadX(); i < kColumns * kDim; i += 32 * kAttentionWarps) {
    StoreColumn<kDim, kColumns, kAttentionWarps>(p, item, weights, sums, i);
  }
}

// One block of threads for each split row and head.
template <int kDim>
SIMT_KERNEL(32 * kAttentionWarps, 1)
CombineAttention(const AttentionSplit* splits, const float* partial_sums,
                 const float* partial_weights, const float* sinks, int heads, AttentionOut out) {
  const AttentionSplit split = splits[simt::BlockX()];
  const int head = simt::BlockY();
  if (split.count == 0) return;
  for (int dim = simt::ThreadX(); dim < kDim; dim += simt::ThreadsX()) {
    Combined all;
    for (int i = 0; i < split.count; ++i) {
      const int64_t at = static_cast<int64_t>(split.first + i * split.stride) * heads + head;
      all.Add(partial_weights[2 * at], partial_weights[2 * at + 1], partial_sums[at * kDim + dim]);
    }
    out.Write((static_cast<int64_t>(split.row) * heads + head) * kDim + dim,
              all.Result(sinks, head));
  }
}

}  // namespace plimsoll::cuda
