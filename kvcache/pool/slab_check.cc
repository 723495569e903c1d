// The slab pool recounts itself.
#include <algorithm>
#include <string>

#include "kvcache/pool/slab_pool.h"

namespace plimsoll {

// Its cached blocks are in the order of their last use, and nobody holds them.
std::optional<std::string> SlabPool::FindWrongSlab(int32_t link) const {
  const Slab& slab = At(link);
  const std::string name = "slab " + std::to_string(link - 1);
  if (slab.live + slab.cached == 0) return name + " is all free and a group has it";
  int32_t live = 0, cached = 0;
  uint64_t oldest = UINT64_MAX, latest = 0;
  for (int32_t slot = 0; slot < slab.untouched; ++slot) {
    const Entry& entry = entries_[SlotIndex(link, slot)];
    if (entry.live()) ++live;
    if (!entry.cached()) continue;
    ++cached;
    oldest = std::min(oldest, entry.used);
    latest = std::max(latest, entry.used);
  }
  if (live != slab.live || cached != slab.cached) return name + " has other blocks than it counts";
  if (cached == 0) return std::nullopt;
  if (entries_[OldestOf(slab)].used == oldest && entries_[LatestOf(slab)].used == latest) {
    return std::nullopt;
  }
  return name + " has its blocks in another order than that of their last use";
}

std::optional<std::string> SlabPool::FindWrongGroup(size_t group) const {
  const std::string name = "group " + std::to_string(group);
  const GroupCounts& counts = groups_[group].counts;
  GroupCounts seen = {.reserved = counts.reserved, .blocks_per_slab = counts.blocks_per_slab};
  for (int32_t link = 1; link <= untouched_slabs_; ++link) {
    const Slab& slab = At(link);
    if (slab.group != static_cast<int32_t>(group) + 1) continue;
    if (std::optional<std::string> wrong = FindWrongSlab(link)) return name + ": " + *wrong;
    ++seen.slabs;
    if (slab.live > 0) ++seen.pinned;
    seen.live += Blocks(slab.live);
    seen.cached += Blocks(slab.cached);
    seen.free += counts.blocks_per_slab - Blocks(int64_t{slab.live} + slab.cached);
  }
  if (seen != counts) return name + " has other blocks than it counts";
  if (!FourStates(counts).Conserved()) return name + " does not conserve its blocks";
  return std::nullopt;
}

std::optional<std::string> SlabPool::FindViolation() const {
  int64_t slabs = free_slabs_;
  for (size_t i = 0; i < groups(); ++i) {
    if (std::optional<std::string> wrong = FindWrongGroup(i)) return wrong;
    slabs += groups_[i].counts.slabs;
  }
  if (slabs != slab_count_) return std::to_string(slabs) + " slabs are counted";
  const int64_t spare = SpareSlabs();
  if (spare >= 0) return std::nullopt;
  return "what is reserved lacks " + std::to_string(-spare) + " slabs";
}

}  // namespace plimsoll
