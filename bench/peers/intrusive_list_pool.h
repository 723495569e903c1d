// A block pool in the manner of vLLM: one node per block; the free nodes are on one doubly linked
// list, whose order is the order of eviction too. A block that is free keeps its key, and can be
// found by it, until it is popped for somebody else.
//
// Threads: none. Cost: O(1) per block; a map node is allocated for each key. Errors: too few blocks
// is false; misuse is not looked for.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "kvcache/base/ids.h"
#include "kvcache/pool/prefix_key.h"

namespace plimsoll::peers {

class IntrusiveListPool {
 public:
  explicit IntrusiveListPool(int64_t blocks);

  // From the front of the list; a popped block loses its key.
  bool Acquire(int64_t n, std::vector<BlockId>& out);
  // Blocks with a key go to the back, for they may be found again; others to the front.
  void Release(std::span<const BlockId> ids);

  // The block of a key, or null.
  const BlockId* Find(const PrefixKey& key) const;
  // Somebody more holds it.
  void Touch(BlockId id);
  void SetKey(BlockId id, const PrefixKey& key);

 private:
  struct Node {
    Node* before = nullptr;
    Node* after = nullptr;
    PrefixKey key;
    int32_t references = 0;
    bool has_key = false;
  };
  struct KeyHash {
    size_t operator()(const PrefixKey& key) const { return key.low; }
  };

  Node& At(BlockId id) { return nodes_[static_cast<size_t>(id.index())]; }
  static void Link(Node& node, Node& before);
  static void Unlink(Node& node);
  void Forget(BlockId id);

  std::vector<Node> nodes_;  // the last one is both ends of the list
  int64_t free_;
  std::unordered_map<PrefixKey, BlockId, KeyHash> by_key_;
};

}  // namespace plimsoll::peers
