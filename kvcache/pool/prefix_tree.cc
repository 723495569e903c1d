#include "kvcache/pool/prefix_tree.h"

#include <cstring>
#include <limits>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<PrefixTree> PrefixTree::Create(const Options& options) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (options.nodes < 1 || options.nodes > kMost) {
    return BadField("nodes", options.nodes, "1 to " + std::to_string(kMost));
  }
  PrefixTree tree(options);
  if (tree.heads_ && tree.entries_ && tree.content_ && tree.blocks_ && tree.nodes_) return tree;
  return absl::ResourceExhaustedError("no memory for a tree of " + std::to_string(options.nodes) +
                                      " nodes");
}

PrefixTree::PrefixTree(const Options& options)
    : capacity_(options.nodes),
      groups_(options.groups),
      indices_(options.indices),
      content_bytes_(options.content_bytes),
      hasher_(options.hash_seed),
      heads_(static_cast<size_t>(options.nodes)),
      entries_(static_cast<size_t>(options.nodes)),
      content_(static_cast<size_t>(options.nodes) * options.content_bytes),
      blocks_(static_cast<size_t>(options.nodes) * options.groups),
      nodes_(options.indices) {}

std::optional<NodeId> PrefixTree::Find(const PrefixKey& key, PrefixParent parent,
                                       std::span<const std::byte> content) const {
  PLIMSOLL_CHECK(content.size() <= content_bytes_, content.size(), content_bytes_);
  const uint32_t hash = HashOf(key);
  for (uint32_t at = heads_[BucketOf(hash)]; at != 0; at = At(at).next) {
    const Node& node = At(at);
    if (node.hash != hash || node.parent != parent) continue;
    if (std::memcmp(ContentAt(at), content.data(), content.size()) == 0) return Read(at);
  }
  return std::nullopt;
}

void PrefixTree::Prefetch(std::span<const PrefixKey> keys) const {
  for (const PrefixKey& key : keys) {
    const uint32_t head = heads_[BucketOf(HashOf(key))];
    if (head == 0) return;  // nothing after it is found either
    __builtin_prefetch(&At(head));
    __builtin_prefetch(ContentAt(head));
  }
}

// Those that were here before come first: their memory is there.
uint32_t PrefixTree::TakeNode() {
  if (removed_ != 0) return std::exchange(removed_, At(removed_).next);
  return untouched_ < capacity_ ? ++untouched_ : 0;
}

void PrefixTree::Adopt(NodeId parent, uint32_t child) {
  Node& above = At(parent);
  PLIMSOLL_CHECK(above.state != 0, parent);
  At(child).after = above.first_child;
  if (above.first_child != 0) At(above.first_child).before = child;
  above.first_child = child;
}

void PrefixTree::Orphan(NodeId parent, const Node& child) {
  (child.before == 0 ? At(parent).first_child : At(child.before).after) = child.after;
  if (child.after != 0) At(child.after).before = child.before;
}

// Behind the others of its bucket, so that the oldest, which are mostly the first to go, are found
// at once.
std::optional<NodeId> PrefixTree::Add(const PrefixKey& key, PrefixParent parent,
                                      std::span<const std::byte> content) {
  PLIMSOLL_CHECK(content.size() <= content_bytes_, content.size(), content_bytes_);
  const uint32_t added = TakeNode();
  if (added == 0) return std::nullopt;
  const uint32_t hash = HashOf(key);
  uint32_t* end = &heads_[BucketOf(hash)];
  while (*end != 0) end = &At(*end).next;
  *end = added;
  At(added) = {.hash = hash,
               .next = 0,
               .parent = parent,
               .first_child = 0,
               .before = 0,
               .after = 0,
               .state = 2};
  std::memcpy(ContentAt(added), content.data(), content.size());
  if (const std::optional<NodeId> above = parent.block()) Adopt(*above, added);
  ++size_;
  return Read(added);
}

void PrefixTree::Hold(NodeId node) {
  int32_t& state = At(node).state;
  PLIMSOLL_CHECK(state > 0 && state < std::numeric_limits<int32_t>::max(), node, state);
  ++state;
}

void PrefixTree::LetGo(NodeId node) {
  int32_t& state = At(node).state;
  PLIMSOLL_CHECK(state > 1, node, state);
  --state;
}

bool PrefixTree::OfUse(NodeId node) const {
  const Node& its = At(node);
  if (its.state > 1 || its.first_child != 0) return true;
  for (size_t i = 0; i < groups_; ++i) {
    if (blocks_[CellOf(node, i)] != 0) return true;
  }
  return false;
}

std::optional<NodeId> PrefixTree::Remove(NodeId node) {
  Node& its = At(node);
  PLIMSOLL_CHECK(its.state == 1 && !OfUse(node), node, its.state);
  uint32_t* link = &heads_[BucketOf(its.hash)];
  while (*link != Stored(node)) link = &At(*link).next;
  *link = its.next;
  const std::optional<NodeId> above = its.parent.block();
  if (above) Orphan(*above, its);
  its.state = 0;
  its.next = std::exchange(removed_, Stored(node));
  --size_;
  return above;
}

std::optional<BlockId> PrefixTree::BlockOf(NodeId node, size_t group) const {
  return Read(blocks_[CellOf(node, group)]);
}

void PrefixTree::Put(NodeId node, size_t group, BlockId block, size_t index) {
  uint32_t& cell = blocks_[CellOf(node, group)];
  PLIMSOLL_CHECK(cell == 0 && nodes_[index] == 0, node, group, block);
  cell = Stored(block);
  nodes_[index] = Stored(node);
}

void PrefixTree::TakeOut(NodeId node, size_t group, size_t index) {
  uint32_t& cell = blocks_[CellOf(node, group)];
  PLIMSOLL_CHECK(cell != 0 && NodeOf(index) == node, node, group);
  cell = 0;
  nodes_[index] = 0;
}

std::optional<std::string> PrefixTree::FindWrongBucket() const {
  int64_t found = 0;
  for (size_t bucket = 0; bucket < static_cast<size_t>(capacity_); ++bucket) {
    for (uint32_t at = heads_[bucket]; at != 0; at = At(at).next) {
      const Node& node = At(at);
      const std::string name = "node " + std::to_string(at - 1);
      if (node.state == 0) return name + " is in the tree and is not";
      if (++found > size_) return "the tree holds more than " + std::to_string(size_) + " nodes";
      PrefixKey key;
      key.low = uint64_t{node.hash} << 32;
      if (BucketOf(node.hash) != bucket ||
          Find(key, node.parent, {ContentAt(at), content_bytes_}) != Read(at)) {
        return name + " is not the one that is found";
      }
    }
  }
  if (found == size_) return std::nullopt;
  return "the tree lost " + std::to_string(size_ - found) + " nodes";
}

// Each node is where its parent's list says, and in that list once: links go both ways.
std::optional<std::string> PrefixTree::FindWrongChild() const {
  for (uint32_t at = 1; at <= untouched_; ++at) {
    const Node& node = At(at);
    const std::optional<NodeId> above = node.parent.block();
    if (node.state == 0 || !above) continue;
    const std::string name = "node " + std::to_string(at - 1);
    if (!Contains(*above)) return name + " follows a node that is not here";
    const uint32_t linked = node.before == 0 ? At(*above).first_child : At(node.before).after;
    if (linked != at) return name + " is not among the children of its parent";
    if (node.after != 0 && At(node.after).before != at) return name + " has another sibling's";
  }
  return std::nullopt;
}

std::optional<std::string> PrefixTree::FindViolation() const {
  int64_t with_node = 0, nodes = 0;
  for (size_t i = 0; i < indices_; ++i) with_node += nodes_[i] != 0 ? 1 : 0;
  for (int32_t i = 0; i < capacity_; ++i) {
    const NodeId node(i);
    if (!Contains(node)) continue;
    ++nodes;
    if (!OfUse(node)) return "node " + std::to_string(i) + " is of no use";
    for (size_t g = 0; g < groups_; ++g) with_node -= BlockOf(node, g) ? 1 : 0;
  }
  if (with_node != 0) return "blocks and nodes do not name each other";
  if (nodes != size_) return "the tree has other nodes than it counts";
  if (std::optional<std::string> wrong = FindWrongBucket()) return wrong;
  return FindWrongChild();
}

}  // namespace plimsoll
