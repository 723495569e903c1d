#include "bench/peers/radix_tree_cache.h"

#include <algorithm>
#include <utility>

namespace plimsoll::peers {

RadixTreeCache::RadixTreeCache(int64_t blocks, int64_t block_tokens) : block_tokens_(block_tokens) {
  for (int64_t i = 0; i < blocks; ++i) free_.emplace_back(static_cast<int32_t>(i));
}

std::vector<int32_t> RadixTreeCache::FirstBlock(std::span<const int32_t> tokens) const {
  const auto block = tokens.first(static_cast<size_t>(block_tokens_));
  return {block.begin(), block.end()};
}

int64_t RadixTreeCache::CommonBlocks(const Node& node, std::span<const int32_t> tokens) const {
  const size_t most = std::min(node.tokens.size(), tokens.size());
  const auto differs = std::mismatch(
      node.tokens.begin(), node.tokens.begin() + static_cast<int64_t>(most), tokens.begin());
  return (differs.first - node.tokens.begin()) / block_tokens_;
}

RadixTreeCache::Node* RadixTreeCache::Match(std::span<const int32_t> tokens, int64_t& blocks) {
  Node* node = &root_;
  blocks = 0;
  ++now_;
  while (std::ssize(tokens) >= block_tokens_) {
    const auto child = node->children.find(FirstBlock(tokens));
    if (child == node->children.end()) break;
    node = child->second.get();
    const int64_t common = CommonBlocks(*node, tokens);
    blocks += common;
    const bool whole = common == std::ssize(node->blocks);
    if (!whole) node = Split(node, common);
    node->used_at = now_;
    if (!whole) break;
    tokens = tokens.subspan(node->tokens.size());
  }
  return node;
}

// The front of the node's edge becomes a node of its own above it, which is returned.
RadixTreeCache::Node* RadixTreeCache::Split(Node* node, int64_t blocks) {
  Node* const parent = node->parent;
  auto& slot = parent->children.at(FirstBlock(node->tokens));
  auto front = std::make_unique<Node>();
  front->parent = parent;
  front->holders = node->holders;
  front->used_at = node->used_at;
  front->tokens.assign(node->tokens.begin(), node->tokens.begin() + blocks * block_tokens_);
  front->blocks.assign(node->blocks.begin(), node->blocks.begin() + blocks);
  node->tokens.erase(node->tokens.begin(), node->tokens.begin() + blocks * block_tokens_);
  node->blocks.erase(node->blocks.begin(), node->blocks.begin() + blocks);
  node->parent = front.get();
  front->children.emplace(FirstBlock(node->tokens), std::move(slot));
  slot = std::move(front);
  return slot.get();
}

void RadixTreeCache::NoteLeaf(Node* node) {
  if (node == &root_) return;
  if (node->holders == 0 && node->children.empty()) {
    evictable_leaves_.insert(node);
  } else {
    evictable_leaves_.erase(node);
  }
}

void RadixTreeCache::Hold(Node* node) {
  for (Node* at = node; at != nullptr; at = at->parent) {
    ++at->holders;
    NoteLeaf(at);
  }
}

void RadixTreeCache::LetGo(Node* node) {
  for (Node* at = node; at != nullptr; at = at->parent) {
    --at->holders;
    NoteLeaf(at);
  }
}

bool RadixTreeCache::Acquire(int64_t n, std::vector<BlockId>& out) {
  if (n > std::ssize(free_)) Evict(n - std::ssize(free_));
  if (n > std::ssize(free_)) return false;
  out.insert(out.end(), free_.end() - n, free_.end());
  free_.erase(free_.end() - n, free_.end());
  return true;
}

RadixTreeCache::Node* RadixTreeCache::Insert(Node* node, std::span<const int32_t> tokens,
                                             std::span<const BlockId> blocks) {
  if (blocks.empty()) return node;
  auto added = std::make_unique<Node>();
  added->parent = node;
  added->tokens.assign(tokens.begin(), tokens.end());
  added->blocks.assign(blocks.begin(), blocks.end());
  added->used_at = now_;
  Node* const leaf = added.get();
  node->children.emplace(FirstBlock(tokens), std::move(added));
  NoteLeaf(node);
  NoteLeaf(leaf);
  return leaf;
}

void RadixTreeCache::Release(std::span<const BlockId> ids) {
  free_.insert(free_.end(), ids.begin(), ids.end());
}

void RadixTreeCache::Evict(int64_t n) {
  const auto younger = [](const Node* a, const Node* b) { return a->used_at > b->used_at; };
  std::vector<Node*> heap(evictable_leaves_.begin(), evictable_leaves_.end());
  std::make_heap(heap.begin(), heap.end(), younger);
  while (n > 0 && !heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), younger);
    Node* const leaf = heap.back();
    heap.pop_back();
    Node* const parent = leaf->parent;
    n -= std::ssize(leaf->blocks);
    Release(leaf->blocks);
    evictable_leaves_.erase(leaf);
    parent->children.erase(FirstBlock(leaf->tokens));
    NoteLeaf(parent);
    if (!evictable_leaves_.contains(parent)) continue;
    heap.push_back(parent);
    std::push_heap(heap.begin(), heap.end(), younger);
  }
}

}  // namespace plimsoll::peers
