// Which blocks of a pool are taken, and by how many holders each.
//
// Free blocks are handed out in one of two orders. The latest released first: the cheapest, and
// their memory is warm. Or the lowest first, a list of blocks going on after its last one while it
// can: what is held stays together at the beginning, and whole chunks of the arena at the end stay
// free and could be given back.
//
// Invariants, which FindViolation() looks for:
//   1. Free blocks and held ones together are always the capacity.
//   2. A block without holders was released, once, or never taken; one with holders is neither.
//
// Threads: none; the owner serialises calls.
// Cost: O(1) per block named, whatever the capacity; no call allocates after Create. 8 bytes per
// block that was ever taken, none for the others, so a pool that only counts costs nothing however
// large; 4 bytes and a bit where the lowest go first. Calls for many blocks at a time wait for
// memory once and not once per block. Errors: an empty pool answers nullopt or false. A caller who
// releases or shares what nobody holds, or names a block of another pool, is aborted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/block_column.h"
#include "kvcache/pool/free_bitmap.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

// A block whose holders find it under another id from now on.
struct BlockMove {
  BlockId from, to;

  friend bool operator==(const BlockMove&, const BlockMove&) = default;
};

class BlockPool {
 public:
  // `chunk` blocks lie in one chunk of the arena, the last of which may be smaller, and the lowest
  // block goes first; with 0 the latest released does. Resize may make it up to `most` blocks, or
  // `capacity` if that is more. InvalidArgument unless both are at most 2^31 - 1 and `capacity` is
  // at least 1; ResourceExhausted without memory.
  static absl::StatusOr<BlockPool> Create(Blocks capacity, Blocks chunk = Blocks(0),
                                          Blocks most = Blocks(0));
  // With `references` of its maker's, as many as there may be blocks.
  static absl::StatusOr<BlockPool> Create(Blocks capacity, Blocks chunk, Blocks most,
                                          BlockColumn<int32_t> references);

  Blocks capacity() const { return Blocks(capacity_); }
  Blocks most() const { return Blocks(most_); }
  Blocks free() const { return Blocks(capacity_ - untouched_ + released_count_); }
  Blocks used() const { return Blocks(untouched_ - released_count_); }

  // One block with one reference.
  std::optional<BlockId> TryAcquire();
  // Appends `n` blocks to `out`, or says no and changes nothing. Does not allocate when `out` has
  // room. Where the lowest go first, the block after the last of `out` goes before them if it is
  // free and in the same chunk.
  bool TryAcquire(Blocks n, std::vector<BlockId>& out);
  // One more reference to a block that somebody holds.
  void Share(BlockId id);
  // One reference less; without any the block is free.
  void Release(BlockId id);
  void Release(std::span<const BlockId> ids);
  // Makes a call that names the block soon after this cheap. The block may be gone since a Resize.
  void Prefetch(BlockId id) const {
    __builtin_prefetch(&references_[static_cast<size_t>(id.index())]);
  }
  // How many hold the block; 0 for a free one.
  int32_t References(BlockId id) const;

  // There are so many blocks from now on, at most `most`. What is held in those that go moves to
  // blocks that nobody holds, references and all; nothing else may be held there. O(blocks).
  void Resize(Blocks capacity, std::span<const BlockMove> moves);

  // Chunks at the end of which no block is held: what the arena could give back. O(those). Nullopt
  // where the latest released go first.
  std::optional<int64_t> FreeChunksAtEnd() const;

  // What is wrong, or nullopt. O(blocks ever taken).
  std::optional<std::string> FindViolation() const;

 private:
  BlockPool(int64_t capacity, BlockColumn<int32_t> references, int64_t most);
  void MoveReferences(std::span<const BlockMove> moves);
  void AcquireLowest(Blocks n, std::vector<BlockId>& out);
  void ReleaseToBitmap(std::span<const BlockId> ids);
  bool HasOrder() const;  // whether there was memory for it
  std::optional<std::string> FindWrongBit() const;
  std::optional<std::string> FindWrongReleased() const;
  size_t IndexOf(BlockId id) const;
  BlockId NextUntouched();
  // Gives a free block its first reference.
  BlockId Taken(BlockId id);
  BlockId TakenLowest(BlockId id);

  int64_t capacity_;
  int64_t most_;
  int64_t untouched_ = 0;            // blocks [untouched_, capacity_) were never taken
  int64_t released_count_ = 0;       // blocks that were taken and are free again
  BlockColumn<int32_t> references_;  // by block
  // Those blocks, the latest last. Not a list that runs through the blocks: there each step would
  // wait for the memory of the one before.
  ZeroedArray<BlockId> released_;
  // Where the lowest go first, in place of those: then all blocks count as taken once.
  std::optional<FreeBitmap> bitmap_;
};

}  // namespace plimsoll
