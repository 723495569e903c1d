#include "bench/peers/intrusive_list_pool.h"

namespace plimsoll::peers {

IntrusiveListPool::IntrusiveListPool(int64_t blocks)
    : nodes_(static_cast<size_t>(blocks) + 1), free_(blocks) {
  Node& end = nodes_.back();
  end.before = end.after = &end;
  for (size_t i = 0; i + 1 < nodes_.size(); ++i) Link(nodes_[i], *end.before);
}

void IntrusiveListPool::Link(Node& node, Node& before) {
  node.before = &before;
  node.after = before.after;
  before.after->before = &node;
  before.after = &node;
}

void IntrusiveListPool::Unlink(Node& node) {
  node.before->after = node.after;
  node.after->before = node.before;
}

bool IntrusiveListPool::Acquire(int64_t n, std::vector<BlockId>& out) {
  if (n > free_) return false;
  free_ -= n;
  for (int64_t i = 0; i < n; ++i) {
    Node& node = *nodes_.back().after;
    Unlink(node);
    const BlockId id(static_cast<int32_t>(&node - nodes_.data()));
    if (node.has_key) Forget(id);
    node.references = 1;
    out.push_back(id);
  }
  return true;
}

void IntrusiveListPool::Release(std::span<const BlockId> ids) {
  Node& end = nodes_.back();
  for (const BlockId id : ids) {
    Node& node = At(id);
    if (--node.references > 0) continue;
    Link(node, node.has_key ? *end.before : end);
    ++free_;
  }
}

const BlockId* IntrusiveListPool::Find(const PrefixKey& key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : &found->second;
}

void IntrusiveListPool::Touch(BlockId id) {
  Node& node = At(id);
  if (node.references++ > 0) return;
  Unlink(node);
  --free_;
}

void IntrusiveListPool::SetKey(BlockId id, const PrefixKey& key) {
  At(id).key = key;
  At(id).has_key = true;
  by_key_.emplace(key, id);
}

// Another block may have had the key first.
void IntrusiveListPool::Forget(BlockId id) {
  const auto found = by_key_.find(At(id).key);
  if (found != by_key_.end() && found->second == id) by_key_.erase(found);
  At(id).has_key = false;
}

}  // namespace plimsoll::peers
