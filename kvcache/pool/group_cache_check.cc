// A cache of several groups checks itself, against a recount of every sequence and every node.
#include <string>
#include <vector>

#include "kvcache/pool/group_cache.h"

namespace plimsoll {
namespace {

std::string Text(SequenceId id) { return "sequence " + std::to_string(id.number()); }
std::string Text(size_t group) { return "group " + std::to_string(group); }

}  // namespace

std::optional<std::string> GroupCache::FindWrongSequence() const {
  Tokens unfilled;
  for (const auto& [id, sequence] : sequences_) {
    unfilled += UnfilledOf(sequence.length);
    for (size_t i = 0; i < sequence.shares.size(); ++i) {
      const Share& share = sequence.shares[i];
      const Extent extent = ExtentOf(i, sequence.before, sequence.length);
      const bool whole = share.first + std::ssize(share.blocks) == extent.last;
      if (!whole || (!share.blocks.empty() && share.first != extent.first)) {
        return Text(id) + " has other blocks in " + Text(i) + " than it needs";
      }
    }
  }
  if (unfilled == unfilled_) return std::nullopt;
  return std::to_string(unfilled.value()) + " token slots are not filled";
}

std::optional<std::string> GroupCache::FindWrongOwner() const {
  std::vector<int32_t> holders(pool_.indices(), 0);
  for (size_t i = 0; i < groups_.size(); ++i) {
    Blocks live, reserved;
    for (const auto& [id, sequence] : sequences_) {
      reserved += sequence.shares[i].promise_left;
      for (const BlockId block : sequence.shares[i].blocks) {
        const bool first = ++holders[pool_.IndexOf(i, block)] == 1;
        if (first) live += Blocks(1);
        if (!first && Keeps(i, Retention::Kind::kWindow)) reserved += Blocks(1);
      }
    }
    for (const auto& [id, sequence] : sequences_) {
      for (const BlockId block : sequence.shares[i].blocks) {
        if (holders[pool_.IndexOf(i, block)] == pool_.Holders(i, block)) continue;
        return "a block of " + Text(id) + " in " + Text(i) + " has other holders than it counts";
      }
    }
    const GroupCounts& counts = pool_.counts(i);
    if (live != counts.live) return Text(i) + " has live blocks that no sequence has";
    if (reserved != counts.reserved) return Text(i) + " has promises that no sequence has";
  }
  return std::nullopt;
}

// What is cached is what nodes have and nobody holds.
std::optional<std::string> GroupCache::FindWrongNode() const {
  for (size_t i = 0; i < groups_.size(); ++i) {
    Blocks cached;
    for (int32_t n = 0; n < tree_->capacity(); ++n) {
      if (!tree_->Contains(NodeId(n))) continue;
      const std::optional<BlockId> block = tree_->BlockOf(NodeId(n), i);
      const std::string name = "node " + std::to_string(n) + " in " + Text(i);
      if (!block) {
        if (Keeps(i, Retention::Kind::kAll)) return name + " has no block";
        continue;
      }
      if (tree_->NodeOf(pool_.IndexOf(i, *block)) != NodeId(n)) return name + " has another's";
      if (pool_.IsCached(i, *block)) {
        cached += Blocks(1);
      } else if (pool_.Holders(i, *block) == 0) {
        return name + " has a free block";
      }
    }
    if (cached != pool_.counts(i).cached) return Text(i) + " has cached blocks without a node";
  }
  return tree_->FindViolation();
}

// The named blocks that a sequence has are those of the nodes on its path.
std::optional<std::string> GroupCache::FindWrongPath() const {
  for (const auto& [id, sequence] : sequences_) {
    if (!sequence.path) continue;
    PrefixParent at = sequence.path->tip;
    int64_t position = sequence.path->named;
    for (; at.block().has_value(); at = tree_->ParentOf(*at.block())) {
      --position;
      for (size_t i = 0; i < groups_.size(); ++i) {
        const Share& share = sequence.shares[i];
        if (Keeps(i, Retention::Kind::kState) || position < share.first) continue;
        const BlockId block = share.blocks[static_cast<size_t>(position - share.first)];
        if (tree_->BlockOf(*at.block(), i) != block) {
          return "block " + std::to_string(position) + " of " + Text(id) + " in " + Text(i) +
                 " is not the one that is named";
        }
      }
    }
    if (position != 0) return Text(id) + " has named other blocks than it counts";
  }
  return std::nullopt;
}

std::optional<std::string> GroupCache::FindViolation() const {
  if (std::optional<std::string> wrong = FindWrongSequence()) return wrong;
  if (std::optional<std::string> wrong = FindWrongOwner()) return wrong;
  if (tree_) {
    if (std::optional<std::string> wrong = FindWrongNode()) return wrong;
    if (std::optional<std::string> wrong = FindWrongPath()) return wrong;
  }
  return pool_.FindViolation();
}

}  // namespace plimsoll
