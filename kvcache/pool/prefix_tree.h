// What the groups of layers have cached of each prefix: a tree of nodes, each of which is one full
// block of tokens after its parent, with at most one block of each group.
//
// A node may be there without a block in some group, or in all: one behind which others come is
// still on the way to them. A node is found by its key and served only if what it follows and what
// it holds are the same too, as in PrefixIndex. Of a key the tree keeps 32 bits, and 31 tell one
// root from another, so names of two salts meet by chance in one of 2^63 pairs; whoever does not
// know the seed cannot seek one out. A node that has neither blocks nor children nor holders is of
// no use, and its owner removes it.
//
// Invariants, which FindViolation() looks for: a node is in one bucket, with a content that no
// other has after the same parent, and in its parent's list of children, if it has a parent; each
// block is in one node at most, and its node says so too.
//
// Threads: none; the owner serialises calls. Cost: O(1) expected per call; nothing is allocated
// after Create, and memory of nodes that were never here is not touched. 32 bytes per node, its
// content and four bytes for each group apart, and four per block.
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
#include "kvcache/pool/prefix_index.h"
#include "kvcache/pool/prefix_key.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

// A parent is written as if it were a block (PrefixParent).
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
                             std::span<const std::byte> content) const;
  // Two steps that make a Find of the keys soon after them cheap: one for each key as it is made,
  // and one for many of them.
  void Prefetch(const PrefixKey& key) const { __builtin_prefetch(&heads_[BucketOf(HashOf(key))]); }
  void Prefetch(std::span<const PrefixKey> keys) const;
  void PrefetchBlocks(NodeId node) const { __builtin_prefetch(&blocks_[CellOf(node, 0)]); }
  // A node that Find does not find yet, with one holder; nullopt where there is no room.
  std::optional<NodeId> Add(const PrefixKey& key, PrefixParent parent,
                            std::span<const std::byte> content);
  // A node with neither blocks nor children nor holders. Returns what it came after, unless a root.
  std::optional<NodeId> Remove(NodeId node);
  // A holder keeps a node that would be of no use.
  void Hold(NodeId node);
  void LetGo(NodeId node);
  bool OfUse(NodeId node) const;
  std::optional<NodeId> FirstChild(NodeId node) const { return Read(At(node).first_child); }
  PrefixParent ParentOf(NodeId node) const { return At(node).parent; }
  bool Contains(NodeId node) const { return At(node).state != 0; }
  int64_t capacity() const { return capacity_; }

  // The node's block of a group. `index` is the block's, different from that of any other block.
  std::optional<BlockId> BlockOf(NodeId node, size_t group) const;
  void Put(NodeId node, size_t group, BlockId block, size_t index);
  void TakeOut(NodeId node, size_t group, size_t index);
  std::optional<NodeId> NodeOf(size_t index) const { return Read(nodes_[index]); }

  std::optional<std::string> FindViolation() const;  // O(nodes + indices)

 private:
  // In half a cache line. A node is stored as its index plus one; zero is none.
  struct Node {
    uint32_t hash;  // of its key
    uint32_t next;  // of its bucket; of a node that was removed, in the list of those
    PrefixParent parent;
    uint32_t first_child;
    uint32_t before, after;  // among the children of its parent
    int32_t state;           // zero: not here; else one more than its holders
  };

  explicit PrefixTree(const Options& options);
  static uint32_t Stored(NodeId node) { return static_cast<uint32_t>(node.index()) + 1; }
  static std::optional<NodeId> Read(uint32_t stored) {
    return stored == 0 ? std::nullopt : std::optional(NodeId(static_cast<int32_t>(stored - 1)));
  }
  static uint32_t HashOf(const PrefixKey& key) { return static_cast<uint32_t>(key.low >> 32); }
  // There are as many buckets as nodes.
  size_t BucketOf(uint32_t hash) const { return (hash * static_cast<uint64_t>(capacity_)) >> 32; }
  Node& At(NodeId node) { return entries_[static_cast<size_t>(node.index())]; }
  const Node& At(NodeId node) const { return entries_[static_cast<size_t>(node.index())]; }
  Node& At(uint32_t stored) { return entries_[stored - 1]; }
  const Node& At(uint32_t stored) const { return entries_[stored - 1]; }
  std::byte* ContentAt(uint32_t stored) { return content_.data() + (stored - 1) * content_bytes_; }
  const std::byte* ContentAt(uint32_t stored) const {
    return content_.data() + (stored - 1) * content_bytes_;
  }
  size_t CellOf(NodeId node, size_t group) const {
    return static_cast<size_t>(node.index()) * groups_ + group;
  }
  uint32_t TakeNode();  // zero: there is none left
  void Adopt(NodeId parent, uint32_t child);
  void Orphan(NodeId parent, const Node& child);
  std::optional<std::string> FindWrongBucket() const;
  std::optional<std::string> FindWrongChild() const;

  int64_t capacity_;
  size_t groups_;
  size_t indices_;
  size_t content_bytes_;
  PrefixHasher hasher_;
  int64_t size_ = 0;
  uint32_t removed_ = 0;            // the first of those that were here
  uint32_t untouched_ = 0;          // nodes from here on were never here
  ZeroedArray<uint32_t> heads_;     // by bucket
  ZeroedArray<Node> entries_;       // by node
  ZeroedArray<std::byte> content_;  // content_bytes_ for each
  ZeroedArray<uint32_t> blocks_;    // by node and group: one more than the block, or zero
  ZeroedArray<uint32_t> nodes_;     // by index: the node
};

}  // namespace plimsoll
