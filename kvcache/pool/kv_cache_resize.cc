// More blocks, or fewer: what lies in blocks that go moves down, and every id that names it follows
// in one operation.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/pool/block_counts.h"
#include "kvcache/pool/kv_cache.h"

namespace plimsoll {
namespace {

using Renamed = std::unordered_map<BlockId, BlockId>;

void Rename(const Renamed& renamed, BlockId& block) {
  const auto found = renamed.find(block);
  if (found != renamed.end()) block = found->second;
}

template <class Value>
void RenameKeys(std::span<const BlockMove> moves, std::unordered_map<BlockId, Value>& by_block) {
  for (const auto& [from, to] : moves) {
    auto node = by_block.extract(from);
    if (node.empty()) continue;
    node.key() = to;
    by_block.insert(std::move(node));
  }
}

}  // namespace

std::optional<std::vector<BlockMove>> KvCache::PrepareResize(Blocks total) {
  PLIMSOLL_CHECK(total >= Blocks(1) && total <= most(), total, most());
  const Blocks kept = counts_.live + counts_.reserved;
  if (kept > total) return std::nullopt;
  TrimCached(total - kept);
  return MovesBelow(total);
}

// No more are held than stay, so there is a lower block that nobody holds for each that goes.
std::vector<BlockMove> KvCache::MovesBelow(Blocks total) const {
  std::vector<BlockMove> moves;
  int32_t to = 0;
  for (int64_t i = total.value(); i < counts_.total.value(); ++i) {
    const BlockId from(static_cast<int32_t>(i));
    if (pool_.References(from) == 0) continue;
    while (pool_.References(BlockId(to)) > 0) ++to;
    moves.push_back({.from = from, .to = BlockId(to++)});
  }
  return moves;
}

void KvCache::Resize(Blocks total, std::span<const BlockMove> moves) {
  const Blocks kept = counts_.live + counts_.cached + counts_.reserved;
  PLIMSOLL_CHECK(kept <= total, kept, total);
  PLIMSOLL_CHECK(std::ranges::equal(moves, MovesBelow(total)), moves.size(), total);
  RenameBlocks(moves);
  if (prefixes_) {
    for (const auto& [from, to] : moves) {
      const bool named = prefixes_->index.Contains(from);
      if (!named) continue;
      prefixes_->policy->Moved(from, to, pool_.References(from) == 1);
      if (prefixes_->events) {
        prefixes_->by_hash[static_cast<size_t>(to.index())] =
            prefixes_->by_hash[static_cast<size_t>(from.index())];
      }
    }
    prefixes_->index.Move(moves, total);
  }
  pool_.Resize(total, moves);
  counts_.free = total - kept;
  counts_.total = total;
  Verify();
}

void KvCache::RenameBlocks(std::span<const BlockMove> moves) {
  if (moves.empty()) return;
  Renamed renamed;
  for (const auto& [from, to] : moves) renamed.emplace(from, to);
  for (auto& [id, sequence] : sequences_) {
    for (BlockId& block : sequence.blocks) Rename(renamed, block);
    if (!sequence.prefix || !sequence.prefix->parent.block()) continue;
    BlockId parent = *sequence.prefix->parent.block();
    Rename(renamed, parent);
    sequence.prefix->parent = PrefixParent(parent);
  }
  RenameKeys(moves, uneven_);
  RenameKeys(moves, spares_);
}

}  // namespace plimsoll
