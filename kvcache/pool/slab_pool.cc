#include "kvcache/pool/slab_pool.h"

#include <algorithm>
#include <limits>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<SlabPool> SlabPool::Create(const SlabPoolOptions& options) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (options.slabs < 1 || options.slabs > kMost) {
    return BadField("slabs", options.slabs, "1 to " + std::to_string(kMost));
  }
  SlabPool pool;
  for (const Bytes bytes : options.block_bytes) {
    if (bytes == Bytes(0) || bytes > options.slab_bytes) {
      return BadField("block_bytes", bytes.value(),
                      "1 to the slab's " + std::to_string(options.slab_bytes.value()));
    }
    const int64_t slots = options.slab_bytes / bytes;
    if (slots > kMost / options.slabs) {
      return BadField("slabs", options.slabs, "at most 2^31 - 1 blocks in all");
    }
    pool.most_slots_ = std::max(pool.most_slots_, slots);
    pool.groups_.push_back({.counts = {.blocks_per_slab = Blocks(slots)}, .block_bytes = bytes});
  }
  pool.slab_bytes_ = options.slab_bytes;
  pool.slab_count_ = pool.free_slabs_ = options.slabs;
  const auto count = static_cast<size_t>(options.slabs);
  pool.slabs_ = ZeroedArray<Slab>(count);
  pool.next_free_ = ZeroedArray<int32_t>(count * static_cast<size_t>(pool.most_slots_));
  if (pool.slabs_ && pool.next_free_) return pool;
  return absl::ResourceExhaustedError("no memory to count the blocks of " + std::to_string(count) +
                                      " slabs");
}

// Slabs that the group lacks for what is reserved and `more`.
int64_t SlabPool::SlabsShort(const GroupCounts& counts, Blocks more) {
  const Blocks wanted = counts.reserved + more;
  if (wanted <= counts.free) return 0;
  return CeilDivide((wanted - counts.free).value(), counts.blocks_per_slab.value());
}

bool SlabPool::CanReserve(std::span<const Blocks> blocks) const {
  PLIMSOLL_CHECK(blocks.size() == groups(), blocks.size(), groups());
  int64_t left = free_slabs_;
  for (size_t i = 0; i < groups() && left >= 0; ++i) {
    if (blocks[i] > slab_count_ * groups_[i].counts.blocks_per_slab) return false;
    left -= SlabsShort(groups_[i].counts, blocks[i]);
  }
  return left >= 0;
}

bool SlabPool::Reserve(std::span<const Blocks> blocks) {
  if (!CanReserve(blocks)) return false;
  for (size_t i = 0; i < groups(); ++i) groups_[i].counts.reserved += blocks[i];
  return true;
}

void SlabPool::Forgo(size_t group, Blocks blocks) {
  GroupCounts& counts = groups_[group].counts;
  PLIMSOLL_CHECK(blocks <= counts.reserved, group, blocks, counts.reserved);
  counts.reserved -= blocks;
}

void SlabPool::PushSlab(int32_t& head, int32_t link) {
  At(link).previous = 0;
  At(link).next = head;
  if (head != 0) At(head).previous = link;
  head = link;
}

void SlabPool::RemoveSlab(int32_t& head, int32_t link) {
  const Slab slab = At(link);
  if (slab.next != 0) At(slab.next).previous = slab.previous;
  (slab.previous != 0 ? At(slab.previous).next : head) = slab.next;
}

void SlabPool::OpenSlab(size_t group) {
  PLIMSOLL_CHECK(free_slabs_ > 0, group);
  --free_slabs_;
  const bool reuse = first_free_slab_ != 0;
  const int32_t link = reuse ? first_free_slab_ : ++untouched_slabs_;
  if (reuse) RemoveSlab(first_free_slab_, link);
  At(link) = {.next = 0,
              .previous = 0,
              .group = static_cast<int32_t>(group) + 1,
              .held = 0,
              .first_free = 0,
              .untouched = 0};
  PushSlab(groups_[group].open, link);
  ++groups_[group].counts.slabs;
  groups_[group].counts.free += groups_[group].counts.blocks_per_slab;
}

size_t SlabPool::SlotOf(int32_t link, int32_t slot) const {
  return (static_cast<size_t>(link) - 1) * static_cast<size_t>(most_slots_) +
         static_cast<size_t>(slot);
}

BlockId SlabPool::Take(size_t group) {
  GroupCounts& counts = groups_[group].counts;
  PLIMSOLL_CHECK(counts.reserved > Blocks(0), group);
  if (groups_[group].open == 0) OpenSlab(group);
  const int32_t link = groups_[group].open;
  Slab& slab = At(link);
  int32_t slot = slab.untouched;
  if (slab.first_free != 0) {
    slot = slab.first_free - 1;
    slab.first_free = next_free_[SlotOf(link, slot)];
  } else {
    ++slab.untouched;
  }
  const auto per_slab = static_cast<int32_t>(counts.blocks_per_slab.value());
  if (++slab.held == per_slab) RemoveSlab(groups_[group].open, link);
  counts.reserved -= Blocks(1);
  counts.free -= Blocks(1);
  counts.held += Blocks(1);
  return BlockId((link - 1) * per_slab + slot);
}

int32_t SlabPool::LinkOf(size_t group, BlockId block) const {
  const auto per_slab = static_cast<int32_t>(groups_[group].counts.blocks_per_slab.value());
  const int32_t slab = block.index() / per_slab;
  PLIMSOLL_CHECK(slab < slab_count_ &&
                     slabs_[static_cast<size_t>(slab)].group == static_cast<int32_t>(group) + 1,
                 group, block);
  return slab + 1;
}

void SlabPool::Release(size_t group, BlockId block) {
  GroupCounts& counts = groups_[group].counts;
  const int32_t link = LinkOf(group, block);
  const auto per_slab = static_cast<int32_t>(counts.blocks_per_slab.value());
  Slab& slab = At(link);
  const int32_t slot = block.index() % per_slab;
  PLIMSOLL_CHECK(slab.held > 0 && slot < slab.untouched, group, block, slab.held);
  if (slab.held == per_slab) PushSlab(groups_[group].open, link);
  next_free_[SlotOf(link, slot)] = slab.first_free;
  slab.first_free = slot + 1;
  counts.held -= Blocks(1);
  counts.free += Blocks(1);
  if (--slab.held > 0) return;
  RemoveSlab(groups_[group].open, link);
  slab.group = 0;
  PushSlab(first_free_slab_, link);
  counts.free -= counts.blocks_per_slab;
  --counts.slabs;
  ++free_slabs_;
}

void SlabPool::ReleaseToReserve(size_t group, BlockId block) {
  Release(group, block);
  groups_[group].counts.reserved += Blocks(1);
}

Bytes SlabPool::OffsetOf(size_t group, BlockId block) const {
  const int32_t link = LinkOf(group, block);
  const int64_t slot = block.index() % groups_[group].counts.blocks_per_slab.value();
  return (link - 1) * slab_bytes_ + slot * groups_[group].block_bytes;
}

std::optional<std::string> SlabPool::FindViolation() const {
  int64_t slabs = free_slabs_;
  int64_t lacking = 0;
  for (size_t i = 0; i < groups(); ++i) {
    const std::string name = "group " + std::to_string(i);
    const GroupCounts& counts = groups_[i].counts;
    GroupCounts seen = {.reserved = counts.reserved, .blocks_per_slab = counts.blocks_per_slab};
    for (size_t s = 0; s < static_cast<size_t>(untouched_slabs_); ++s) {
      if (slabs_[s].group != static_cast<int32_t>(i) + 1) continue;
      if (slabs_[s].held == 0) return name + " has a slab that is all free";
      ++seen.slabs;
      seen.held += Blocks(slabs_[s].held);
      seen.free += counts.blocks_per_slab - Blocks(slabs_[s].held);
    }
    if (seen != counts) return name + " has other blocks than it counts";
    slabs += counts.slabs;
    lacking += SlabsShort(counts, Blocks(0));
  }
  if (slabs != slab_count_) return std::to_string(slabs) + " slabs are counted";
  if (lacking <= free_slabs_) return std::nullopt;
  return "groups lack " + std::to_string(lacking) + " slabs, free are " +
         std::to_string(free_slabs_);
}

}  // namespace plimsoll
