// One pool for groups of blocks of different sizes.
//
// Memory is in slabs of one size, each given to one group as it needs it, cut into that group's
// blocks, and given back when none of them is used. So the groups share the pool as the load asks,
// and no block is padded to the size of another: what is lost is the rest of a slab that is smaller
// than a block, and what is free in slabs that a group has begun. A slab is a chunk of an arena, or
// several.
//
// A block is free, live (somebody holds it), or cached (nobody does, and it may be dropped at any
// time). A slab with a live block is pinned to its group; the others can all be had. Blocks are
// reserved for all groups at once and then taken one by one. Only live blocks stand in the way of a
// reservation: what is reserved for a group comes from the slabs pinned to it and from so many
// slabs that nobody has pinned, for which what is cached in them is dropped when the time comes.
//
// Invariants, which FindViolation() looks for:
//   1. Free slabs and those of all groups are together all slabs.
//   2. In each group live + cached + free is what its slabs have; none of its slabs is all free.
//   3. What is reserved can be taken, in any order: slabs that groups lack for it are not pinned.
//
// What goes first: Victim says, and says exactly, in the order of last use; what stays only while
// there is room counts as last used before all else. Of a group that needs a
// block it is the group's own oldest cached one, or, where a whole slab without live blocks was
// last used before that, what is in the slab of those that was last used longest ago.
//
// Threads: none; the owner serialises calls. Cost: O(1) per block and O(groups) per reservation;
// where the oldest cached block of a slab changes, O(log slabs). No call allocates after Create.
// Errors: no room is false or nullopt, an ordinary answer; taking or giving back what is not there
// aborts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/age_heap.h"
#include "kvcache/pool/block_counts.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

struct SlabPoolOptions {
  Bytes slab_bytes;
  int64_t slabs;                   // in [1, 2^31 - 1]
  std::vector<Bytes> block_bytes;  // of each group: in [1, slab_bytes]
};

// A good size of slabs for such blocks: of the multiples of the largest up to `most`, the first of
// which the rest that is left beside the blocks of one group is least. O(most / largest).
Bytes SlabBytesFor(std::span<const Bytes> block_bytes, Bytes most);

struct GroupCounts {
  int64_t slabs = 0;   // that it has now
  int64_t pinned = 0;  // of these, with live blocks
  Blocks live = Blocks(0);
  Blocks cached = Blocks(0);
  Blocks free = Blocks(0);             // in its slabs
  Blocks reserved = Blocks(0);         // to be taken from what is free or cached, here or elsewhere
  Blocks blocks_per_slab = Blocks(0);  // fixed

  friend bool operator==(const GroupCounts&, const GroupCounts&) = default;
};

// Blocks that a group has, and those that are reserved for it beyond what is free in its slabs:
// live + cached + reserved + free == total.
BlockCounts FourStates(const GroupCounts& counts);

// How long a cached block stays: until it is the one that was last used longest ago, or only while
// nobody needs its room, and then, longest first, before all of those.
enum class Stay : uint8_t { kInTurn, kWhileRoom };

struct GroupBlock {
  size_t group;
  BlockId block;

  friend bool operator==(const GroupBlock&, const GroupBlock&) = default;
};

class SlabPool {
 public:
  // InvalidArgument, naming the field; ResourceExhausted without memory to count the blocks.
  static absl::StatusOr<SlabPool> Create(const SlabPoolOptions& options);

  size_t groups() const { return groups_.size(); }
  const GroupCounts& counts(size_t group) const { return groups_[group].counts; }
  int64_t slabs() const { return slab_count_; }
  int64_t free_slabs() const { return free_slabs_; }
  // Slabs that are neither pinned nor needed for what is reserved. O(groups).
  int64_t SpareSlabs() const;
  // Rests of the slabs that groups have, smaller than a block of theirs. O(groups).
  Bytes LostToRests() const;

  // Reserves blocks of each group (one number for each), or says no and changes nothing.
  bool Reserve(std::span<const Blocks> blocks);
  bool CanReserve(std::span<const Blocks> blocks) const;
  // The same, after a holder more for each of these blocks, which are different ones.
  bool HoldAndReserve(std::span<const GroupBlock> held, std::span<const Blocks> blocks);
  void Forgo(size_t group, Blocks blocks);
  // Reserves a block in the place of one that was just given up.
  void ReserveAgain(size_t group);

  // A block that was reserved, live with one holder; nullopt: drop Victim(group) first.
  std::optional<BlockId> Take(size_t group);
  // A block that was not reserved, cached at once; nullopt: drop Victim(group, stay) first, if any.
  std::optional<BlockId> TakeCached(size_t group, Stay stay);
  // What is to go so that the group can take a block; for one that is to be cached and stays only
  // while there is room, nothing goes that stays in its turn.
  std::optional<GroupBlock> Victim(size_t group, std::optional<Stay> cached = std::nullopt) const;
  // The oldest cached block of all. O(groups).
  std::optional<GroupBlock> Oldest() const;

  // One holder more of a live block.
  void Share(size_t group, BlockId block);
  // One holder less; without any the block is free, or cached and the youngest that stays so long.
  void Release(size_t group, BlockId block);
  void Keep(size_t group, BlockId block, Stay stay = Stay::kInTurn);
  // A cached block becomes free.
  void Drop(size_t group, BlockId block);

  int32_t Holders(size_t group, BlockId block) const;
  bool IsCached(size_t group, BlockId block) const;
  // Different for every block of any group, and below `indices`.
  size_t IndexOf(size_t group, BlockId block) const;
  size_t indices() const { return static_cast<size_t>(slab_count_ * most_slots_); }
  // Where its memory begins, from the first slab's.
  Bytes OffsetOf(size_t group, BlockId block) const;

  std::optional<std::string> FindViolation() const;  // O(blocks)

 private:
  // Within a group: block = slab * blocks_per_slab + slot. Links are one more than what they link
  // to; zero is the end.
  enum class In : int32_t { kNone, kPinnedOpen, kIdleOpen };  // a list of the slab's group
  struct List {  // of cached blocks, which are written as their index plus one
    uint32_t first, last;
    bool empty() const { return first == 0; }
  };
  struct Slab {
    int32_t next, previous;  // in the list of free slabs, or of the group's that have free blocks
    In list;
    int32_t group;  // one more than the group's number; zero for a free slab
    int32_t live, cached;
    int32_t first_free;        // slot that was released
    int32_t untouched;         // slots from here on were never taken since the group has the slab
    List in_turn, while_room;  // cached blocks, oldest first
  };
  static constexpr uint64_t kInTurn = uint64_t{1} << 63;  // makes a time later than any without
  // Of a block, in 16 bytes: what it needs while it is cached, or else who holds it, or where the
  // list of free ones goes on.
  struct Entry {
    uint64_t used;  // cached: when it was let go, with kInTurn; else zero
    union {
      int32_t holders;  // not cached; none: free
      uint32_t before;  // cached: in its list
    };
    union {
      int32_t next_free;
      uint32_t after;
    };

    bool cached() const { return used != 0; }
    bool live() const { return !cached() && holders > 0; }
  };
  struct Group {
    GroupCounts counts;
    Bytes block_bytes;
    int32_t pinned_open = 0;  // first slab with live and free blocks
    int32_t idle_open = 0;    // first slab with free blocks and no live one
    AgeHeap pinned;           // slabs with cached blocks, by the oldest of these
    AgeHeap idle;
  };
  struct Place {
    size_t group;
    int32_t link;
    int32_t slot;
    size_t index;
  };

  explicit SlabPool(const SlabPoolOptions& options, int64_t most_slots);
  Slab& At(int32_t link) { return slabs_[static_cast<size_t>(link) - 1]; }
  const Slab& At(int32_t link) const { return slabs_[static_cast<size_t>(link) - 1]; }
  Group& GroupOf(const Slab& slab) { return groups_[static_cast<size_t>(slab.group) - 1]; }
  static int64_t SlabsShort(const GroupCounts& counts, Blocks more);
  bool HasRoomFor(std::span<const GroupBlock> held, std::span<const Blocks> blocks);
  // Whether the group may take a block in a slab that has no live one.
  bool MayPin(size_t group) const;
  int32_t* HeadOf(Group& group, In list);
  void PushSlab(int32_t& head, int32_t link);
  void RemoveSlab(int32_t& head, int32_t link);
  int32_t OpenSlab(size_t group);  // a link, or zero without free slabs
  void GiveBack(int32_t link);
  // After blocks of the slab changed: puts it into the lists and heaps where it belongs.
  void Refile(int32_t link);
  void Count(int32_t link, int32_t live, int32_t cached);
  BlockId TakeFrom(int32_t link, std::optional<Stay> cached);
  void Free(const Place& place);
  void Cache(const Place& place, Stay stay);
  List& ListOf(const Place& place);
  // Indices of cached blocks of a slab that has any.
  static size_t OldestOf(const Slab& slab);
  static size_t LatestOf(const Slab& slab);
  void Uncache(const Place& place);
  Place PlaceOf(size_t group, BlockId block) const;
  GroupBlock OldestIn(int32_t link) const;
  size_t SlotIndex(int32_t link, int32_t slot) const;
  std::optional<std::string> FindWrongSlab(int32_t link) const;
  std::optional<std::string> FindWrongGroup(size_t group) const;

  Bytes slab_bytes_;
  int64_t slab_count_ = 0;
  int64_t free_slabs_ = 0;
  int64_t most_slots_ = 0;  // of any group in a slab
  int32_t first_free_slab_ = 0;
  int32_t untouched_slabs_ = 0;
  uint64_t now_ = 0;
  std::vector<Group> groups_;
  AgeHeap by_latest_use_;  // slabs with cached and without live blocks
  ZeroedArray<Slab> slabs_;
  ZeroedArray<Entry> entries_;   // by index
  ZeroedArray<uint64_t> marks_;  // by slab: the latest HoldAndReserve that counted it
  uint64_t mark_ = 0;
};

}  // namespace plimsoll
