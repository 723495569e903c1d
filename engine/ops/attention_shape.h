// How kernels of attention are cut, as numbers that the host plans with and the kernels are
// compiled for.
//
// Threads, cost, errors: pure functions of a model's shape.
#pragma once

#include <cstdint>

namespace plimsoll::cuda {

inline constexpr int32_t kTileTokens = 16;     // positions that a warp takes at a time
inline constexpr int32_t kAttentionWarps = 4;  // of a block of threads

// A kernel has 8 columns, each a row and a head, and 16 where more than 8 heads share a KV head and
// registers suffice.
constexpr int32_t AttentionColumns(int32_t heads, int32_t kv_heads, int32_t head_dim) {
  return heads / kv_heads > 8 && (head_dim == 64 || head_dim == 128) ? 16 : 8;
}

// How many rows of one sequence an item may have: at least 1.
constexpr int32_t RowsPerAttentionItem(int32_t heads, int32_t kv_heads, int32_t head_dim) {
  const int32_t rows = AttentionColumns(heads, kv_heads, head_dim) / (heads / kv_heads);
  return rows > 0 ? rows : 1;
}

// Blocks of threads that one item takes: for each KV head, as many passes as its heads need.
constexpr int32_t BlocksPerAttentionItem(int32_t heads, int32_t kv_heads, int32_t head_dim) {
  const int32_t columns = AttentionColumns(heads, kv_heads, head_dim);
  return kv_heads * ((heads / kv_heads + columns - 1) / columns);
}

// Blocks of threads that a multiprocessor holds at once, for which the kernels are compiled.
constexpr int32_t AttentionBlocksPerMultiprocessor(int32_t columns, int32_t head_dim) {
  return head_dim > 128 || columns > 8 ? 2 : head_dim > 64 ? 3 : 4;
}

// The kernel for chunks of prompts: positions that its blocks of threads take at a time, and its
// columns, more of which find no registers.
constexpr int32_t ChunkTileTokens(int32_t head_dim) { return head_dim > 128 ? 16 : 32; }
constexpr int32_t ChunkColumns(int32_t head_dim) { return head_dim > 128 ? 32 : 64; }
inline constexpr int32_t kChunkBlocksPerMultiprocessor = 2;

// As RowsPerAttentionItem and BlocksPerAttentionItem, of a chunk.
constexpr int32_t RowsPerChunk(int32_t heads, int32_t kv_heads, int32_t head_dim) {
  const int32_t rows = ChunkColumns(head_dim) / (heads / kv_heads);
  return rows > 0 ? rows : 1;
}
constexpr int32_t BlocksPerChunk(int32_t heads, int32_t kv_heads, int32_t head_dim) {
  const int32_t columns = ChunkColumns(head_dim);
  return kv_heads * ((heads / kv_heads + columns - 1) / columns);
}

}  // namespace plimsoll::cuda
