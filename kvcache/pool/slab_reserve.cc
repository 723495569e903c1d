// What of a slab pool is promised, and what goes for it.
#include <algorithm>
#include <string>

#include "kvcache/base/check.h"
#include "kvcache/pool/slab_pool.h"

namespace plimsoll {
namespace {

constexpr Blocks kOne(1);

}  // namespace

Bytes SlabBytesFor(std::span<const Bytes> block_bytes, Bytes most) {
  const Bytes largest = *std::max_element(block_bytes.begin(), block_bytes.end());
  Bytes best = largest;
  double least = 1;
  for (Bytes slab = largest; slab <= most; slab += largest) {
    double worst = 0;
    for (const Bytes each : block_bytes) {
      const Bytes rest = slab - (slab / each) * each;
      worst =
          std::max(worst, static_cast<double>(rest.value()) / static_cast<double>(slab.value()));
    }
    if (worst < least) best = slab;
    least = std::min(least, worst);
  }
  return best;
}

// Slabs that the group lacks for what is reserved and `more`, beside those that are pinned to it.
int64_t SlabPool::SlabsShort(const GroupCounts& counts, Blocks more) {
  const Blocks wanted = counts.reserved + more;
  const Blocks room = counts.pinned * counts.blocks_per_slab - counts.live;
  if (wanted <= room) return 0;
  return CeilDivide((wanted - room).value(), counts.blocks_per_slab.value());
}

int64_t SlabPool::SpareSlabs() const {
  int64_t spare = slab_count_;
  for (const Group& group : groups_) {
    spare -= group.counts.pinned + SlabsShort(group.counts, Blocks(0));
  }
  return spare;
}

bool SlabPool::MayPin(size_t group) const {
  return SlabsShort(groups_[group].counts, Blocks(0)) > 0 || SpareSlabs() > 0;
}

Bytes SlabPool::LostToRests() const {
  Bytes lost;
  for (const Group& group : groups_) {
    const Bytes cut = group.counts.blocks_per_slab.value() * group.block_bytes;
    lost += group.counts.slabs * (slab_bytes_ - cut);
  }
  return lost;
}

bool SlabPool::CanReserve(std::span<const Blocks> blocks) const {
  PLIMSOLL_CHECK(blocks.size() == groups(), blocks.size(), groups());
  int64_t left = slab_count_;
  for (size_t i = 0; i < groups() && left >= 0; ++i) {
    const GroupCounts& counts = groups_[i].counts;
    if (blocks[i] > slab_count_ * counts.blocks_per_slab) return false;
    left -= counts.pinned + SlabsShort(counts, blocks[i]);
  }
  return left >= 0;
}

bool SlabPool::Reserve(std::span<const Blocks> blocks) {
  if (!CanReserve(blocks)) return false;
  for (size_t i = 0; i < groups(); ++i) groups_[i].counts.reserved += blocks[i];
  return true;
}

// A cached block that is held pins its slab, unless that is pinned already.
bool SlabPool::HasRoomFor(std::span<const GroupBlock> held, std::span<const Blocks> blocks) {
  std::vector<GroupCounts> after;
  for (const Group& group : groups_) after.push_back(group.counts);
  ++mark_;
  for (const auto& [group, block] : held) {
    const Place place = PlaceOf(group, block);
    if (!entries_[place.index].cached()) continue;
    after[group].live += kOne;
    uint64_t& mark = marks_[static_cast<size_t>(place.link) - 1];
    if (At(place.link).live == 0 && mark != mark_) ++after[group].pinned;
    mark = mark_;
  }
  int64_t left = slab_count_;
  for (size_t i = 0; i < groups(); ++i) {
    if (blocks[i] > slab_count_ * after[i].blocks_per_slab) return false;
    left -= after[i].pinned + SlabsShort(after[i], blocks[i]);
  }
  return left >= 0;
}

bool SlabPool::HoldAndReserve(std::span<const GroupBlock> held, std::span<const Blocks> blocks) {
  PLIMSOLL_CHECK(blocks.size() == groups(), blocks.size(), groups());
  if (!HasRoomFor(held, blocks)) return false;
  for (const auto& [group, block] : held) {
    const Place place = PlaceOf(group, block);
    Entry& entry = entries_[place.index];
    PLIMSOLL_CHECK(entry.cached() || entry.live(), group, block);
    if (entry.live()) {
      ++entry.holders;
      continue;
    }
    Uncache(place);
    entry.holders = 1;
    Count(place.link, 1, -1);
  }
  for (size_t i = 0; i < groups(); ++i) groups_[i].counts.reserved += blocks[i];
  return true;
}

void SlabPool::Forgo(size_t group, Blocks blocks) {
  GroupCounts& counts = groups_[group].counts;
  PLIMSOLL_CHECK(blocks <= counts.reserved, group, blocks, counts.reserved);
  counts.reserved -= blocks;
}

void SlabPool::ReserveAgain(size_t group) {
  GroupCounts& counts = groups_[group].counts;
  counts.reserved += kOne;
  PLIMSOLL_CHECK(SpareSlabs() >= 0, group, counts.reserved, counts.live);
}

GroupBlock SlabPool::OldestIn(int32_t link) const {
  const Slab& slab = At(link);
  const auto slot = static_cast<int64_t>(OldestOf(slab)) - (link - 1) * most_slots_;
  const auto group = static_cast<size_t>(slab.group) - 1;
  const int64_t per_slab = groups_[group].counts.blocks_per_slab.value();
  return {group, BlockId(static_cast<int32_t>((link - 1) * per_slab + slot))};
}

// Where the slab that was last used longest ago is the group's own, the group has an older block.
std::optional<GroupBlock> SlabPool::Victim(size_t group, std::optional<Stay> cached) const {
  const Group& its = groups_[group];
  const bool any_slab = cached || MayPin(group);
  const AgeHeap* oldest = its.pinned.empty() ? nullptr : &its.pinned;
  const auto older = [&](const AgeHeap& heap) {
    return !heap.empty() && (oldest == nullptr || heap.top_age() < oldest->top_age());
  };
  if (any_slab && older(its.idle)) oldest = &its.idle;
  if (any_slab && older(by_latest_use_)) oldest = &by_latest_use_;
  if (oldest == nullptr) return std::nullopt;
  if (cached == Stay::kWhileRoom && (oldest->top_age() & kInTurn) != 0) return std::nullopt;
  return OldestIn(oldest->top());
}

std::optional<GroupBlock> SlabPool::Oldest() const {
  const AgeHeap* oldest = nullptr;
  for (const Group& group : groups_) {
    for (const AgeHeap* heap : {&group.pinned, &group.idle}) {
      if (heap->empty()) continue;
      if (oldest == nullptr || heap->top_age() < oldest->top_age()) oldest = heap;
    }
  }
  if (oldest == nullptr) return std::nullopt;
  return OldestIn(oldest->top());
}

}  // namespace plimsoll
