// Many doubly linked lists of blocks in two arrays: each block is in one list at most.
//
// Threads: none; the owner serialises calls. Cost: O(1); nothing is allocated after it is made.
// Errors: none; the caller knows which list a block is in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvcache/base/check.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/zeroed_array.h"

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

  explicit BlockLinks(Blocks capacity)
      : before_(static_cast<size_t>(capacity.value())),
        after_(static_cast<size_t>(capacity.value())) {}
  explicit operator bool() const { return before_ && after_; }

  void PushBack(List& list, BlockId block) {
    const size_t i = static_cast<size_t>(block.index());
    before_[i] = list.last;
    after_[i] = 0;
    (list.last == 0 ? list.first : after_[list.last - 1]) = static_cast<uint32_t>(i) + 1;
    list.last = static_cast<uint32_t>(i) + 1;
  }
  void PushFront(List& list, BlockId block) {
    const size_t i = static_cast<size_t>(block.index());
    before_[i] = 0;
    after_[i] = list.first;
    (list.first == 0 ? list.last : before_[list.first - 1]) = static_cast<uint32_t>(i) + 1;
    list.first = static_cast<uint32_t>(i) + 1;
  }
  void Remove(List& list, BlockId block) {
    const size_t i = static_cast<size_t>(block.index());
    (before_[i] == 0 ? list.first : after_[before_[i] - 1]) = after_[i];
    (after_[i] == 0 ? list.last : before_[after_[i] - 1]) = before_[i];
  }

 private:
  ZeroedArray<uint32_t> before_;
  ZeroedArray<uint32_t> after_;
};

}  // namespace plimsoll
