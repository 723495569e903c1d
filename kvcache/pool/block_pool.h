// Which blocks of a pool are taken, and by how many holders each.
//
// Invariants, which FindViolation() looks for:
//   1. Free blocks and held ones together are always the capacity.
//   2. A block without holders is on the free list or was never taken; one with holders is neither.
//
// Threads: none; the owner serialises calls.
// Cost: O(1) per block named; no call allocates after Create. Blocks that were never taken occupy
// no memory, so a pool that only counts costs nothing however large.
// Errors: an empty pool answers nullopt or false. A caller who releases or shares what nobody
// holds, or names a block of another pool, is aborted.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"

namespace plimsoll {

class BlockPool {
 public:
  // InvalidArgument unless `capacity` is in [1, 2^31 - 1]; ResourceExhausted without memory.
  static absl::StatusOr<BlockPool> Create(Blocks capacity);

  Blocks capacity() const { return Blocks(capacity_); }
  Blocks free() const { return Blocks(free_); }
  Blocks used() const { return Blocks(capacity_ - free_); }

  // One block with one reference; the latest released first, whose memory is warm.
  std::optional<BlockId> TryAcquire();
  // Appends `n` blocks to `out`, or says no and changes nothing. Does not allocate when `out` has
  // room.
  bool TryAcquire(Blocks n, std::vector<BlockId>& out);
  // One more reference to a block that somebody holds.
  void Share(BlockId id);
  // One reference less; without any the block is free.
  void Release(BlockId id);
  void Release(std::span<const BlockId> ids);
  // How many hold the block; 0 for a free one.
  int32_t References(BlockId id) const;

  // What is wrong, or nullopt. O(blocks ever taken).
  std::optional<std::string> FindViolation() const;

 private:
  struct Freed {
    void operator()(int32_t* memory) const { std::free(memory); }
  };
  using Array = std::unique_ptr<int32_t[], Freed>;
  static constexpr int32_t kNone = -1;

  BlockPool(int32_t capacity, Array references, Array next_free);
  size_t IndexOf(BlockId id) const;
  BlockId TakeOne();

  int32_t capacity_;
  int32_t free_;
  int32_t first_free_ = kNone;  // head of the list of released blocks
  int32_t untouched_ = 0;       // blocks [untouched_, capacity_) were never taken
  Array references_;            // by block
  Array next_free_;             // by block; means something while the block is on the list
};

}  // namespace plimsoll
