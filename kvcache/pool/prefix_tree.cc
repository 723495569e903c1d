#include "kvcache/pool/prefix_tree.h"

#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<PrefixTree> PrefixTree::Create(const Options& options) {
  absl::StatusOr<BlockPool> holders = BlockPool::Create(Blocks(options.nodes));
  if (!holders.ok()) return holders.status();
  absl::StatusOr<PrefixIndex> index =
      PrefixIndex::Create(Blocks(options.nodes), options.content_bytes);
  if (!index.ok()) return index.status();
  PrefixTree tree(options, *std::move(index), *std::move(holders));
  if (tree.siblings_ && tree.children_ && tree.blocks_ && tree.nodes_) return tree;
  return absl::ResourceExhaustedError("no memory for a tree of " + std::to_string(options.nodes) +
                                      " nodes");
}

PrefixTree::PrefixTree(const Options& options, PrefixIndex index, BlockPool holders)
    : groups_(options.groups),
      indices_(options.indices),
      hasher_(options.hash_seed),
      index_(std::move(index)),
      holders_(std::move(holders)),
      siblings_(Blocks(options.nodes)),
      children_(static_cast<size_t>(options.nodes)),
      blocks_(static_cast<size_t>(options.nodes) * options.groups),
      nodes_(options.indices) {}

std::optional<NodeId> PrefixTree::Add(const PrefixKey& key, PrefixParent parent,
                                      std::span<const std::byte> content) {
  const std::optional<NodeId> node = holders_.TryAcquire();
  if (!node) return std::nullopt;
  index_.Add(*node, key, parent, content);
  children_[static_cast<size_t>(node->index())] = {};
  if (const std::optional<NodeId> above = parent.block()) {
    siblings_.PushBack(children_[static_cast<size_t>(above->index())], *node);
  }
  holders_.Share(*node);
  return node;
}

bool PrefixTree::OfUse(NodeId node) const {
  if (IsHeld(node) || index_.children(node) > 0) return true;
  for (size_t i = 0; i < groups_; ++i) {
    if (blocks_[CellOf(node, i)] != 0) return true;
  }
  return false;
}

std::optional<NodeId> PrefixTree::Remove(NodeId node) {
  PLIMSOLL_CHECK(!OfUse(node), node);
  const std::optional<NodeId> above = index_.Remove(node).block();
  if (above) siblings_.Remove(children_[static_cast<size_t>(above->index())], node);
  holders_.Release(node);
  return above;
}

std::optional<NodeId> PrefixTree::FirstChild(NodeId node) const {
  const BlockLinks::List& children = children_[static_cast<size_t>(node.index())];
  return children.empty() ? std::nullopt : std::optional(children.front());
}

std::optional<BlockId> PrefixTree::BlockOf(NodeId node, size_t group) const {
  const uint32_t stored = blocks_[CellOf(node, group)];
  if (stored == 0) return std::nullopt;
  return BlockId(static_cast<int32_t>(stored - 1));
}

void PrefixTree::Put(NodeId node, size_t group, BlockId block, size_t index) {
  uint32_t& cell = blocks_[CellOf(node, group)];
  PLIMSOLL_CHECK(cell == 0 && nodes_[index] == 0, node, group, block);
  cell = static_cast<uint32_t>(block.index()) + 1;
  nodes_[index] = static_cast<uint32_t>(node.index()) + 1;
}

void PrefixTree::TakeOut(NodeId node, size_t group, size_t index) {
  uint32_t& cell = blocks_[CellOf(node, group)];
  PLIMSOLL_CHECK(cell != 0 && NodeOf(index) == node, node, group);
  cell = 0;
  nodes_[index] = 0;
}

std::optional<NodeId> PrefixTree::NodeOf(size_t index) const {
  const uint32_t stored = nodes_[index];
  if (stored == 0) return std::nullopt;
  return NodeId(static_cast<int32_t>(stored - 1));
}

std::optional<std::string> PrefixTree::FindViolation() const {
  int64_t with_node = 0;
  for (size_t i = 0; i < indices_; ++i) with_node += nodes_[i] != 0 ? 1 : 0;
  int64_t nodes = 0;
  for (int32_t i = 0; i < holders_.capacity().value(); ++i) {
    const NodeId node(i);
    if (index_.Contains(node) != (holders_.References(node) > 0)) {
      return "node " + std::to_string(i) + " is held and not in the tree, or the reverse";
    }
    if (!index_.Contains(node)) continue;
    ++nodes;
    if (!OfUse(node)) return "node " + std::to_string(i) + " is of no use";
    for (size_t g = 0; g < groups_; ++g) with_node -= BlockOf(node, g) ? 1 : 0;
  }
  if (with_node != 0) return "blocks and nodes do not name each other";
  if (nodes != index_.size().value()) return "the tree has other nodes than it counts";
  return index_.FindViolation();
}

}  // namespace plimsoll
