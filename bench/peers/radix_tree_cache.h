// A prefix cache in the manner of SGLang: a radix tree whose edges are runs of tokens with their
// blocks. Making room collects the leaves that nobody holds into a heap by their last use and
// removes whole leaves, so it may free more than was asked for.
//
// Threads: none. Cost: a match O(tokens), an eviction O(leaves + removed x log leaves); nodes are
// allocated one by one. Errors: too few blocks is false; misuse is not looked for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "kvcache/base/ids.h"

namespace plimsoll::peers {

class RadixTreeCache {
 public:
  struct Node {
    Node* parent = nullptr;
    std::vector<int32_t> tokens;  // of the edge that leads here: whole blocks
    std::vector<BlockId> blocks;
    std::map<std::vector<int32_t>, std::unique_ptr<Node>> children;  // by their first block
    int64_t holders = 0;  // sequences that hold this node or one below it
    int64_t used_at = 0;
  };

  RadixTreeCache(int64_t blocks, int64_t block_tokens);

  // The deepest node whose tokens begin `tokens`, and how many blocks that is. Splits an edge of
  // which only a part matches.
  Node* Match(std::span<const int32_t> tokens, int64_t& blocks);
  void Hold(Node* node);
  void LetGo(Node* node);
  // Makes room where it must.
  bool Acquire(int64_t n, std::vector<BlockId>& out);
  // `node` matches the front of a sequence; what follows is `tokens`, computed in `blocks`.
  Node* Insert(Node* node, std::span<const int32_t> tokens, std::span<const BlockId> blocks);
  void Release(std::span<const BlockId> ids);

 private:
  std::vector<int32_t> FirstBlock(std::span<const int32_t> tokens) const;
  int64_t CommonBlocks(const Node& node, std::span<const int32_t> tokens) const;
  Node* Split(Node* node, int64_t blocks);
  void NoteLeaf(Node* node);
  void Evict(int64_t n);

  const int64_t block_tokens_;
  Node root_;
  std::unordered_set<Node*> evictable_leaves_;
  std::vector<BlockId> free_;
  int64_t now_ = 0;
};

}  // namespace plimsoll::peers
