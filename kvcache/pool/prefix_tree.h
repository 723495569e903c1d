// What the groups of layers have cached of each prefix: a tree of nodes, each of which is one full
// block of tokens after its parent, with at most one block of each group.
//
// A node may be there without a block in some group, or in all: one behind which others come is
// still on the way to them. Nodes are found as PrefixIndex finds blocks: by a chained key, with the
// tokens compared. A node that has neither blocks nor children nor holders is of no use, and its
// owner removes it.
//
// Invariants, which FindViolation() looks for: those of PrefixIndex; each block is in one node at
// most, and its node says so too; a node that is here is one of the index, and no other is.
//
// Threads: none; the owner serialises calls. Cost: O(1) expected per call; nothing is allocated
// after Create, and memory of nodes that were never here is not touched.
// Errors: a full tree is nullopt, an ordinary answer; misuse aborts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/block_list.h"
#include "kvcache/pool/block_pool.h"
#include "kvcache/pool/prefix_index.h"
#include "kvcache/pool/prefix_key.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

// The index of prefixes calls what it finds blocks; here they are nodes.
using NodeId = BlockId;

class PrefixTree {
 public:
  struct Options {
    int64_t nodes;         // in [1, 2^31 - 1]
    size_t groups;         // > 0
    size_t indices;        // blocks of all groups have indices below this
    size_t content_bytes;  // of a node's tokens or hash, at most
    uint64_t hash_seed;
  };
  static absl::StatusOr<PrefixTree> Create(const Options& options);

  const PrefixHasher& hasher() const { return hasher_; }
  std::optional<NodeId> Find(const PrefixKey& key, PrefixParent parent,
                             std::span<const std::byte> content) const {
    return index_.Find(key, parent, content);
  }
  // Two steps that make a Find of the keys soon after them cheap; see PrefixIndex.
  void Prefetch(const PrefixKey& key) const { index_.Prefetch(key); }
  void Prefetch(std::span<const PrefixKey> keys) const { index_.Prefetch(keys); }
  void PrefetchBlocks(NodeId node) const { __builtin_prefetch(&blocks_[CellOf(node, 0)]); }
  // A node that Find does not find yet, with one holder; nullopt where there is no room.
  std::optional<NodeId> Add(const PrefixKey& key, PrefixParent parent,
                            std::span<const std::byte> content);
  // A node with neither blocks nor children nor holders. Returns what it came after, unless a root.
  std::optional<NodeId> Remove(NodeId node);
  // A holder keeps a node that would be of no use.
  void Hold(NodeId node) { holders_.Share(node); }
  void LetGo(NodeId node) { holders_.Release(node); }
  bool IsHeld(NodeId node) const { return holders_.References(node) > 1; }
  bool OfUse(NodeId node) const;
  std::optional<NodeId> FirstChild(NodeId node) const;
  PrefixParent ParentOf(NodeId node) const { return index_.ParentOf(node); }
  const PrefixKey& KeyOf(NodeId node) const { return index_.KeyOf(node); }
  bool Contains(NodeId node) const { return index_.Contains(node); }
  int64_t capacity() const { return holders_.capacity().value(); }

  // The node's block of a group. `index` is the block's, different from that of any other block.
  std::optional<BlockId> BlockOf(NodeId node, size_t group) const;
  void Put(NodeId node, size_t group, BlockId block, size_t index);
  void TakeOut(NodeId node, size_t group, size_t index);
  std::optional<NodeId> NodeOf(size_t index) const;

  std::optional<std::string> FindViolation() const;  // O(nodes + indices)

 private:
  PrefixTree(const Options& options, PrefixIndex index, BlockPool holders);
  size_t CellOf(NodeId node, size_t group) const {
    return static_cast<size_t>(node.index()) * groups_ + group;
  }

  size_t groups_;
  size_t indices_;
  PrefixHasher hasher_;
  PrefixIndex index_;
  BlockPool holders_;  // the tree itself holds each node
  BlockLinks siblings_;
  ZeroedArray<BlockLinks::List> children_;  // by node
  ZeroedArray<uint32_t> blocks_;            // by node and group: one more than the block, or zero
  ZeroedArray<uint32_t> nodes_;             // by index: one more than the node, or zero
};

}  // namespace plimsoll
