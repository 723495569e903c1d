// How many blocks are in each of the four states.
//
// Invariant: live + cached + reserved + free == total. Every change is a move between two of the
// four, so none can lose a block.
//
// Threads: values. Cost: O(1). Errors: moving more than there is aborts.
#pragma once

#include "kvcache/base/check.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct BlockCounts {
  Blocks total, live, cached, reserved, free;

  bool Conserved() const { return live + cached + reserved + free == total; }
  friend bool operator==(const BlockCounts&, const BlockCounts&) = default;
};

inline void MoveBlocks(Blocks n, Blocks& from, Blocks& to) {
  PLIMSOLL_CHECK(n <= from, n, from);
  from -= n;
  to += n;
}

}  // namespace plimsoll
