// Where K and V of one token and head lie in a layer of the paged cache, and the words that scale
// them; kv_row.h says what is in both.
//
// Threads: pure. Cost: a table look-up. Errors: none; the block table covers the position.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/ops/ops.h"

namespace plimsoll {

inline constexpr int64_t kWordBytes = 4;  // {fp16 scale, fp16 zero}

// The K of `kv_head` at `position` of the sequence with this block table.
inline std::byte* KeySlot(const PagedLayer& cache, const int32_t* table, int64_t position,
                          int64_t kv_head) {
  const int64_t block = table[position / cache.block_tokens];
  const int64_t slot = position % cache.block_tokens;
  return cache.pool + block * cache.block_bytes + cache.layer.offset.value() +
         kv_head * cache.layer.head_bytes.value() + slot * cache.layer.row_bytes.value();
}

// From a token's K to its V.
inline int64_t ValueOffset(const PagedLayer& cache) { return cache.layer.kv_bytes.value(); }

// The word of that K, where the cache's type has words.
inline std::byte* KeyWord(const PagedLayer& cache, const int32_t* table, int64_t position,
                          int64_t kv_head) {
  const int64_t block = table[position / cache.block_tokens];
  const int64_t slot = position % cache.block_tokens;
  return cache.pool + block * cache.block_bytes + cache.layer.scales.value() +
         (kv_head * 2 * cache.block_tokens + slot) * kWordBytes;
}

// From a K's word to its V's.
inline int64_t ValueWordOffset(const PagedLayer& cache) { return cache.block_tokens * kWordBytes; }

// The first position that a row at `position` attends to.
inline int64_t FirstVisible(int64_t position, int64_t window) {
  return position < window ? 0 : position - window + 1;
}

}  // namespace plimsoll
