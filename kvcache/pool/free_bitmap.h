// Which blocks are taken, one bit each, so that the lowest free one is found in a few steps.
//
// Above the bits is a bit for each word of them that says that all of it is taken, above those the
// same again, up to one word. The pool's blocks lie in chunks, the pieces in which an arena gives
// memory back: taken from the lowest on, they leave the chunks at the end free.
//
// There is room for more blocks than there are, so that there can be more; the bits of those that
// are not there are set.
//
// Invariants, which FindViolation() looks for: a bit above is set exactly where its word is full;
// the count of a chunk is how many of its blocks are taken; no block that is not there is free.
//
// Threads: none; the owner serialises calls. Cost: one word for each level, of which 2^31 blocks
// have six; nothing is allocated after it is made. A bit per block and four bytes per chunk; memory
// of what was never taken is not touched. Errors: the caller knows which blocks are free, and that
// one is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

class FreeBitmap {
 public:
  // `capacity` in [1, most] blocks, `most` at most 2^31 - 1, `chunk` >= 1 of them in each chunk but
  // perhaps the last.
  FreeBitmap(Blocks capacity, Blocks chunk, Blocks most);
  // Whether there was memory for it.
  explicit operator bool() const;

  bool IsFree(BlockId block) const { return (WordOf(block) >> (Index(block) % 64) & 1) == 0; }
  // The lowest free block; there is one.
  BlockId Lowest() const;
  // The block after this one, if it is free and in the same chunk.
  std::optional<BlockId> FreeAfter(BlockId block) const;
  void Take(BlockId block);
  void Free(BlockId block);
  // There are so many blocks from now on, at most `most`: new ones are free, and those that go must
  // be. O(change).
  void Resize(Blocks capacity);

  // Chunks at the end of which nothing is taken. O(those).
  int64_t FreeChunksAtEnd() const;
  // What is wrong, or nullopt. O(capacity).
  std::optional<std::string> FindViolation() const;

 private:
  static constexpr size_t kMostLevels = 6;

  struct Level {
    size_t words = 0;
    ZeroedArray<uint64_t> taken;
  };

  static size_t Index(BlockId block) { return static_cast<size_t>(block.index()); }
  void SetBit(size_t i);
  void ClearBit(size_t i);
  uint64_t WordOf(BlockId block) const { return levels_[0].taken[Index(block) / 64]; }

  int64_t capacity_;
  int64_t most_;
  int64_t chunk_;
  size_t level_count_ = 0;
  std::array<Level, kMostLevels>
      levels_;                     // of blocks, of words of those, ...; the last is one word
  ZeroedArray<int32_t> taken_in_;  // by chunk
};

}  // namespace plimsoll
