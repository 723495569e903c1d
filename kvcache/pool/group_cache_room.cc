// Where the room in a cache of several groups comes from, and what becomes of blocks that are let
// go.
//
// Of a node, the block of a group that keeps all tokens takes the whole node with it, and the nodes
// after it: without it they could not be found. Who holds anything of those holds it too, and lets
// go of it after them, so all of that is cached and was last used before.
#include <algorithm>

#include "kvcache/base/check.h"
#include "kvcache/pool/group_cache.h"

namespace plimsoll {

BlockId GroupCache::TakePromised(size_t group) {
  while (true) {
    if (const std::optional<BlockId> block = pool_.Take(group)) return *block;
    const std::optional<GroupBlock> victim = pool_.Victim(group);
    PLIMSOLL_CHECK(victim.has_value(), group, pool_.counts(group).reserved, pool_.SpareSlabs());
    Evict(*victim);
  }
}

void GroupCache::Evict(GroupBlock victim) {
  const auto [group, block] = victim;
  const std::optional<NodeId> node = tree_->NodeOf(pool_.IndexOf(group, block));
  PLIMSOLL_CHECK(node.has_value(), group, block);
  if (Keeps(group, Retention::Kind::kAll)) return RemoveWithChildren(*node);
  TakeOut(*node, group, block);
  pool_.Drop(group, block);
  RemoveUseless(node);
}

void GroupCache::RemoveWithChildren(NodeId top) {
  NodeId node = top;
  while (true) {
    while (const std::optional<NodeId> child = tree_->FirstChild(node)) node = *child;
    for (size_t i = 0; i < groups_.size(); ++i) {
      const std::optional<BlockId> block = tree_->BlockOf(node, i);
      if (!block) continue;
      TakeOut(node, i, *block);
      pool_.Drop(i, *block);
    }
    const std::optional<NodeId> above = tree_->Remove(node);
    if (node == top) return;
    node = *above;
  }
}

void GroupCache::TakeOut(NodeId node, size_t group, BlockId block) {
  tree_->TakeOut(node, group, pool_.IndexOf(group, block));
}

void GroupCache::RemoveUseless(std::optional<NodeId> node) {
  while (node && !tree_->OfUse(*node)) node = tree_->Remove(*node);
}

// A block of a window that others hold still had one reserved in its place for this holder.
void GroupCache::LetGo(size_t group, BlockId block, Stay stay) {
  if (Keeps(group, Retention::Kind::kWindow) && pool_.Holders(group, block) > 1) {
    pool_.Forgo(group, Blocks(1));
  }
  if (tree_ && tree_->NodeOf(pool_.IndexOf(group, block))) {
    pool_.Keep(group, block, stay);
  } else {
    pool_.Release(group, block);
  }
}

// Last to first, so that of blocks let go at one time those in front, which more prompts may share,
// are the youngest.
void GroupCache::GiveUpAll(Sequence& sequence) {
  int64_t last = 0;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const Share& share = sequence.shares[i];
    last = std::max(last, share.first + std::ssize(share.blocks));
    pool_.Forgo(i, share.promise_left);
  }
  for (int64_t at = last - 1; at >= 0; --at) {
    for (size_t i = 0; i < groups_.size(); ++i) {
      const Share& share = sequence.shares[i];
      if (at < share.first || at >= share.first + std::ssize(share.blocks)) continue;
      LetGo(i, share.blocks[static_cast<size_t>(at - share.first)]);
    }
  }
  for (Share& share : sequence.shares) share = {};
  SetLength(sequence, Tokens(0));
  sequence.before = Tokens(0);
  sequence.forked = 0;
  if (!sequence.path) return;
  const std::optional<NodeId> tip = sequence.path->tip.block();
  sequence.path.reset();
  if (tip) tree_->LetGo(*tip);
  RemoveUseless(tip);
}

}  // namespace plimsoll
