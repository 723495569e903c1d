// One pool for groups of blocks of different sizes.
//
// Memory is in slabs of one size, each given to one group as it needs it, cut into that group's
// blocks, and given back when the last of them is released. So the groups share the pool as the
// load asks, and no block is padded to the size of another: what is lost is the rest of a slab that
// is smaller than a block, and what is free in slabs that a group has begun. A slab is a chunk of
// an arena, or several.
//
// Blocks are reserved for all groups at once, and then taken one by one.
//
// Invariants, which FindViolation() looks for:
//   1. Free slabs and those of all groups are together all slabs.
//   2. In each group held + free is what its slabs have; none of its slabs is all free.
//   3. What is reserved can be taken, in any order: the slabs that groups lack for it are free.
//
// Threads: none; the owner serialises calls. Cost: O(1) per block and O(groups) per reservation; no
// call allocates after Create. Errors: no room is false, an ordinary answer; taking or giving back
// what is not there aborts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

struct SlabPoolOptions {
  Bytes slab_bytes;
  int64_t slabs;                   // in [1, 2^31 - 1]
  std::vector<Bytes> block_bytes;  // of each group: in [1, slab_bytes]
};

struct GroupCounts {
  int64_t slabs = 0;  // that it has now
  Blocks held = Blocks(0);
  Blocks free = Blocks(0);             // in its slabs
  Blocks reserved = Blocks(0);         // to be taken from what is free, here or in free slabs
  Blocks blocks_per_slab = Blocks(0);  // fixed

  friend bool operator==(const GroupCounts&, const GroupCounts&) = default;
};

class SlabPool {
 public:
  // InvalidArgument, naming the field; ResourceExhausted without memory to count the blocks.
  static absl::StatusOr<SlabPool> Create(const SlabPoolOptions& options);

  size_t groups() const { return groups_.size(); }
  GroupCounts counts(size_t group) const { return groups_[group].counts; }
  int64_t free_slabs() const { return free_slabs_; }

  // Reserves blocks of each group (one number for each), or says no and changes nothing.
  bool Reserve(std::span<const Blocks> blocks);
  bool CanReserve(std::span<const Blocks> blocks) const;
  void Forgo(size_t group, Blocks blocks);
  // A block that was reserved.
  BlockId Take(size_t group);
  void Release(size_t group, BlockId block);
  // Releases a block and reserves one in its place, for which there is always room.
  void ReleaseToReserve(size_t group, BlockId block);
  // Where its memory begins, from the first slab's.
  Bytes OffsetOf(size_t group, BlockId block) const;

  std::optional<std::string> FindViolation() const;  // O(slabs)

 private:
  // Within a group: block = slab * blocks_per_slab + slot. Links are one more than what they link
  // to; zero is the end.
  struct Slab {
    int32_t next, previous;  // in the list of free slabs, or of the group's that have free blocks
    int32_t group;           // one more than the group's number; zero for a free slab
    int32_t held;
    int32_t first_free;  // slot that was released
    int32_t untouched;   // slots from here on were never taken since the group has the slab
  };
  struct Group {
    GroupCounts counts;
    Bytes block_bytes;
    int32_t open = 0;  // first slab with free blocks
  };

  SlabPool() = default;
  Slab& At(int32_t link) { return slabs_[static_cast<size_t>(link) - 1]; }
  static int64_t SlabsShort(const GroupCounts& counts, Blocks more);
  void PushSlab(int32_t& head, int32_t link);
  void RemoveSlab(int32_t& head, int32_t link);
  void OpenSlab(size_t group);
  int32_t LinkOf(size_t group, BlockId block) const;
  size_t SlotOf(int32_t link, int32_t slot) const;

  Bytes slab_bytes_;
  int64_t slab_count_ = 0;
  int64_t free_slabs_ = 0;
  int64_t most_slots_ = 0;  // of any group in a slab
  int32_t first_free_slab_ = 0;
  int32_t untouched_slabs_ = 0;
  std::vector<Group> groups_;
  ZeroedArray<Slab> slabs_;
  ZeroedArray<int32_t> next_free_;  // by slab and slot
};

}  // namespace plimsoll
