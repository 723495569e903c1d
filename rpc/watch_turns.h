// When each of many who watch hears of a change: one after the other, not all at once.
//
// Each has a share, far from those of the others, of the time that sending to all of them takes; so
// whoever watches alone hears at once, and of a crowd no two hear at the same time. Nobody waits
// for longer than the interval in which it wants one message.
//
// Threads: any. Cost: an atomic counter. Errors: none.
#pragma once

#include <atomic>
#include <cstdint>

#include "kvcache/base/clock.h"

namespace plimsoll {

class WatchTurns {
 public:
  // The share of one more, in [0, 1).
  double Join();
  void Leave() { watching_.fetch_sub(1, std::memory_order_relaxed); }
  // How long after a change it is its turn.
  Duration Of(double share, Duration interval) const;

 private:
  std::atomic<int64_t> joined_{0};
  std::atomic<int64_t> watching_{0};
};

}  // namespace plimsoll
