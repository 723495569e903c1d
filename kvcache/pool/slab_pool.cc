#include "kvcache/pool/slab_pool.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr Blocks kOne(1);

absl::StatusOr<int64_t> MostSlots(const SlabPoolOptions& options) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (options.slabs < 1 || options.slabs > kMost) {
    return BadField("slabs", options.slabs, "1 to " + std::to_string(kMost));
  }
  int64_t most = 0;
  for (const Bytes bytes : options.block_bytes) {
    if (bytes == Bytes(0) || bytes > options.slab_bytes) {
      return BadField("block_bytes", bytes.value(),
                      "1 to the slab's " + std::to_string(options.slab_bytes.value()));
    }
    most = std::max(most, options.slab_bytes / bytes);
  }
  if (most <= kMost / options.slabs) return most;
  return BadField("slabs", options.slabs, "at most 2^31 - 1 blocks in all");
}

}  // namespace

BlockCounts FourStates(const GroupCounts& counts) {
  const Blocks there = std::min(counts.reserved, counts.free);
  return {.total = counts.live + counts.cached + counts.free + (counts.reserved - there),
          .live = counts.live,
          .cached = counts.cached,
          .reserved = counts.reserved,
          .free = counts.free - there};
}

absl::StatusOr<SlabPool> SlabPool::Create(const SlabPoolOptions& options) {
  const absl::StatusOr<int64_t> most_slots = MostSlots(options);
  if (!most_slots.ok()) return most_slots.status();
  SlabPool pool(options, *most_slots);
  bool memory = pool.by_latest_use_ && pool.slabs_ && pool.entries_ && pool.marks_;
  for (const Group& group : pool.groups_) memory = memory && group.pinned && group.idle;
  if (memory) return pool;
  return absl::ResourceExhaustedError("no memory to count the blocks of " +
                                      std::to_string(options.slabs) + " slabs");
}

SlabPool::SlabPool(const SlabPoolOptions& options, int64_t most_slots)
    : slab_bytes_(options.slab_bytes),
      slab_count_(options.slabs),
      free_slabs_(options.slabs),
      most_slots_(most_slots),
      by_latest_use_(options.slabs),
      slabs_(static_cast<size_t>(options.slabs)),
      entries_(indices()),
      marks_(static_cast<size_t>(options.slabs)) {
  for (const Bytes bytes : options.block_bytes) {
    groups_.push_back({.counts = {.blocks_per_slab = Blocks(options.slab_bytes / bytes)},
                       .block_bytes = bytes,
                       .pinned = AgeHeap(options.slabs),
                       .idle = AgeHeap(options.slabs)});
  }
}

void SlabPool::PushSlab(int32_t& head, int32_t link) {
  At(link).previous = 0;
  At(link).next = head;
  if (head != 0) At(head).previous = link;
  head = link;
}

void SlabPool::RemoveSlab(int32_t& head, int32_t link) {
  const Slab& slab = At(link);
  if (slab.next != 0) At(slab.next).previous = slab.previous;
  (slab.previous != 0 ? At(slab.previous).next : head) = slab.next;
}

int32_t* SlabPool::HeadOf(Group& group, In list) {
  if (list == In::kNone) return nullptr;
  return list == In::kPinnedOpen ? &group.pinned_open : &group.idle_open;
}

int32_t SlabPool::OpenSlab(size_t group) {
  if (free_slabs_ == 0) return 0;
  --free_slabs_;
  const bool reuse = first_free_slab_ != 0;
  const int32_t link = reuse ? first_free_slab_ : ++untouched_slabs_;
  if (reuse) RemoveSlab(first_free_slab_, link);
  At(link) = {.next = 0,
              .previous = 0,
              .list = In::kNone,
              .group = static_cast<int32_t>(group) + 1,
              .live = 0,
              .cached = 0,
              .first_free = 0,
              .untouched = 0,
              .in_turn = {},
              .while_room = {}};
  GroupCounts& counts = groups_[group].counts;
  ++counts.slabs;
  counts.free += counts.blocks_per_slab;
  return link;
}

void SlabPool::GiveBack(int32_t link) {
  Slab& slab = At(link);
  GroupCounts& counts = GroupOf(slab).counts;
  --counts.slabs;
  counts.free -= counts.blocks_per_slab;
  slab.group = 0;
  PushSlab(first_free_slab_, link);
  ++free_slabs_;
}

void SlabPool::Refile(int32_t link) {
  Slab& slab = At(link);
  Group& group = GroupOf(slab);
  const bool pinned = slab.live > 0;
  const int64_t used = int64_t{slab.live} + slab.cached;
  const bool open = used > 0 && Blocks(used) < group.counts.blocks_per_slab;
  const In list = !open ? In::kNone : pinned ? In::kPinnedOpen : In::kIdleOpen;
  if (list != slab.list) {
    if (int32_t* head = HeadOf(group, slab.list)) RemoveSlab(*head, link);
    if (int32_t* head = HeadOf(group, list)) PushSlab(*head, link);
    slab.list = list;
  }
  AgeHeap& by_oldest = pinned ? group.pinned : group.idle;
  (pinned ? group.idle : group.pinned).Erase(link);
  if (slab.cached == 0) by_oldest.Erase(link);
  if (slab.cached > 0) by_oldest.Set(link, entries_[OldestOf(slab)].used);
  if (pinned || slab.cached == 0) by_latest_use_.Erase(link);
  if (!pinned && slab.cached > 0) by_latest_use_.Set(link, entries_[LatestOf(slab)].used);
  if (used == 0) GiveBack(link);
}

// So many live and cached blocks more, or fewer.
void SlabPool::Count(int32_t link, int32_t live, int32_t cached) {
  Slab& slab = At(link);
  GroupCounts& counts = GroupOf(slab).counts;
  if (slab.live > 0) --counts.pinned;
  slab.live += live;
  slab.cached += cached;
  if (slab.live > 0) ++counts.pinned;
  counts.live = Blocks(counts.live.value() + live);
  counts.cached = Blocks(counts.cached.value() + cached);
  counts.free = Blocks(counts.free.value() - live - cached);
  Refile(link);
}

size_t SlabPool::SlotIndex(int32_t link, int32_t slot) const {
  return (static_cast<size_t>(link) - 1) * static_cast<size_t>(most_slots_) +
         static_cast<size_t>(slot);
}

BlockId SlabPool::TakeFrom(int32_t link, std::optional<Stay> cached) {
  Slab& slab = At(link);
  const auto group = static_cast<size_t>(slab.group) - 1;
  int32_t slot = slab.untouched;
  if (slab.first_free != 0) {
    slot = slab.first_free - 1;
    slab.first_free = entries_[SlotIndex(link, slot)].next_free;
  } else {
    ++slab.untouched;
  }
  const Place place{group, link, slot, SlotIndex(link, slot)};
  if (cached) {
    Cache(place, *cached);
  } else {
    entries_[place.index].holders = 1;
    Count(link, 1, 0);
  }
  const int64_t per_slab = groups_[group].counts.blocks_per_slab.value();
  return BlockId(static_cast<int32_t>((link - 1) * per_slab + slot));
}

// Free blocks of pinned slabs come first: they are of use to nobody else.
std::optional<BlockId> SlabPool::Take(size_t group) {
  Group& its = groups_[group];
  PLIMSOLL_CHECK(its.counts.reserved > Blocks(0), group);
  int32_t link = its.pinned_open;
  if (link == 0 && MayPin(group)) link = its.idle_open != 0 ? its.idle_open : OpenSlab(group);
  if (link == 0) return std::nullopt;
  its.counts.reserved -= kOne;
  return TakeFrom(link, std::nullopt);
}

std::optional<BlockId> SlabPool::TakeCached(size_t group, Stay stay) {
  const Group& its = groups_[group];
  int32_t link = its.idle_open != 0 ? its.idle_open : its.pinned_open;
  if (link == 0) link = OpenSlab(group);
  if (link == 0) return std::nullopt;
  return TakeFrom(link, stay);
}

SlabPool::Place SlabPool::PlaceOf(size_t group, BlockId block) const {
  const auto per_slab = static_cast<int32_t>(groups_[group].counts.blocks_per_slab.value());
  const int32_t slab = block.index() / per_slab;
  PLIMSOLL_CHECK(slab < slab_count_ &&
                     slabs_[static_cast<size_t>(slab)].group == static_cast<int32_t>(group) + 1,
                 group, block);
  const int32_t slot = block.index() % per_slab;
  return {group, slab + 1, slot, SlotIndex(slab + 1, slot)};
}

void SlabPool::Free(const Place& place) {
  Slab& slab = At(place.link);
  Entry& entry = entries_[place.index];
  entry.used = 0;
  entry.holders = 0;
  entry.next_free = std::exchange(slab.first_free, place.slot + 1);
}

size_t SlabPool::OldestOf(const Slab& slab) {
  return (slab.while_room.empty() ? slab.in_turn : slab.while_room).first - 1;
}

size_t SlabPool::LatestOf(const Slab& slab) {
  return (slab.in_turn.empty() ? slab.while_room : slab.in_turn).last - 1;
}

SlabPool::List& SlabPool::ListOf(const Place& place) {
  Slab& slab = At(place.link);
  return (entries_[place.index].used & kInTurn) != 0 ? slab.in_turn : slab.while_room;
}

void SlabPool::Cache(const Place& place, Stay stay) {
  Entry& entry = entries_[place.index];
  const bool was_live = entry.live();
  entry.used = ++now_ | (stay == Stay::kInTurn ? kInTurn : 0);
  List& list = ListOf(place);
  const auto stored = static_cast<uint32_t>(place.index) + 1;
  entry.before = list.last;
  entry.after = 0;
  (list.last == 0 ? list.first : entries_[list.last - 1].after) = stored;
  list.last = stored;
  Count(place.link, was_live ? -1 : 0, 1);
}

// What the block is next is up to the caller.
void SlabPool::Uncache(const Place& place) {
  List& list = ListOf(place);
  Entry& entry = entries_[place.index];
  (entry.before == 0 ? list.first : entries_[entry.before - 1].after) = entry.after;
  (entry.after == 0 ? list.last : entries_[entry.after - 1].before) = entry.before;
  entry.used = 0;
}

void SlabPool::Share(size_t group, BlockId block) {
  Entry& entry = entries_[PlaceOf(group, block).index];
  PLIMSOLL_CHECK(entry.live(), group, block);
  ++entry.holders;
}

void SlabPool::Release(size_t group, BlockId block) {
  const Place place = PlaceOf(group, block);
  Entry& entry = entries_[place.index];
  PLIMSOLL_CHECK(entry.live(), group, block);
  if (--entry.holders > 0) return;
  Free(place);
  Count(place.link, -1, 0);
}

void SlabPool::Keep(size_t group, BlockId block, Stay stay) {
  const Place place = PlaceOf(group, block);
  Entry& entry = entries_[place.index];
  PLIMSOLL_CHECK(entry.live(), group, block);
  if (entry.holders > 1) {
    --entry.holders;
  } else {
    Cache(place, stay);
  }
}

void SlabPool::Drop(size_t group, BlockId block) {
  const Place place = PlaceOf(group, block);
  PLIMSOLL_CHECK(entries_[place.index].cached(), group, block);
  Uncache(place);
  Free(place);
  Count(place.link, 0, -1);
}

int32_t SlabPool::Holders(size_t group, BlockId block) const {
  const Entry& entry = entries_[PlaceOf(group, block).index];
  return entry.cached() ? 0 : entry.holders;
}

bool SlabPool::IsCached(size_t group, BlockId block) const {
  return entries_[PlaceOf(group, block).index].cached();
}

size_t SlabPool::IndexOf(size_t group, BlockId block) const { return PlaceOf(group, block).index; }

Bytes SlabPool::OffsetOf(size_t group, BlockId block) const {
  const Place place = PlaceOf(group, block);
  return (place.link - 1) * slab_bytes_ + place.slot * groups_[group].block_bytes;
}

}  // namespace plimsoll
