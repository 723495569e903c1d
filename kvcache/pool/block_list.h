// Many doubly linked lists of blocks in one array: each block is in one list at most.
//
// Threads: none; the owner serialises calls. Cost: O(1); nothing is allocated after it is made.
// Errors: none; the caller knows which list a block is in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/block_column.h"

namespace plimsoll {

class BlockLinks {
 public:
  // The ends of one list; a block is written as its index plus one, nothing as zero.
  struct List {
    uint32_t first = 0;
    uint32_t last = 0;

    bool empty() const { return first == 0; }
    BlockId front() const {
      PLIMSOLL_CHECK(first != 0);
      return BlockId(static_cast<int32_t>(first - 1));
    }
  };

  // Of one block, written like the ends of a list.
  struct Links {
    uint32_t before;
    uint32_t after;
  };

  explicit BlockLinks(BlockColumn<Links> links) : links_(std::move(links)) {}
  explicit operator bool() const { return static_cast<bool>(links_); }

  void PushBack(List& list, BlockId block) {
    At(block) = {.before = list.last, .after = 0};
    (list.last == 0 ? list.first : links_[list.last - 1].after) = Stored(block);
    list.last = Stored(block);
  }
  void PushFront(List& list, BlockId block) {
    At(block) = {.before = 0, .after = list.first};
    (list.first == 0 ? list.last : links_[list.first - 1].before) = Stored(block);
    list.first = Stored(block);
  }
  void Remove(List& list, BlockId block) {
    const auto [before, after] = At(block);
    (before == 0 ? list.first : links_[before - 1].after) = after;
    (after == 0 ? list.last : links_[after - 1].before) = before;
  }
  // Puts `to`, which is in no list, in the place of `from`.
  void Replace(List& list, BlockId from, BlockId to) {
    const auto [before, after] = At(from);
    At(to) = {.before = before, .after = after};
    (before == 0 ? list.first : links_[before - 1].after) = Stored(to);
    (after == 0 ? list.last : links_[after - 1].before) = Stored(to);
  }
  // A mark for a block that is in no list: it is linked to itself. Pushing it ends that too.
  void SetAside(BlockId block) { At(block) = {.before = Stored(block), .after = Stored(block)}; }
  void EndAside(BlockId block) { At(block) = {.before = 0, .after = 0}; }
  bool IsAside(BlockId block) const {
    return links_[static_cast<size_t>(block.index())].before == Stored(block);
  }
  // Makes Remove soon after this cheap.
  void Prefetch(BlockId block) const {
    __builtin_prefetch(&links_[static_cast<size_t>(block.index())]);
  }

 private:
  static uint32_t Stored(BlockId block) { return static_cast<uint32_t>(block.index()) + 1; }
  Links& At(BlockId block) { return links_[static_cast<size_t>(block.index())]; }

  BlockColumn<Links> links_;
};

}  // namespace plimsoll
