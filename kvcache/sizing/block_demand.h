// The one function that says how many blocks a request needs. The planner, CanAdmit, Reserve and
// the allocator all call it, so that what is promised is what is taken.
//
// Threads: pure. Cost: O(1). Errors: none; Tokens are bounded where they enter.
#pragma once

#include "kvcache/base/units.h"

namespace plimsoll {

// Blocks that hold `length` tokens of one sequence. Rounds up.
constexpr Blocks BlocksForSequence(Tokens length, Tokens block_tokens) {
  return BlocksCovering(length, block_tokens);
}

// Blocks that a fork of a sequence of `length` tokens needs for growing to `total` tokens: it
// shares the full ones, and of a last one that is part full either it or the other gets a copy.
constexpr Blocks BlocksForFork(Tokens length, Tokens total, Tokens block_tokens) {
  return BlocksForSequence(total, block_tokens) - Blocks(length / block_tokens);
}

// The largest token count that anything outside may name: 2^40. Far above any model's context and
// far below where sums of a few of them, times any block size, could overflow.
inline constexpr int64_t kMaxTokens = int64_t{1} << 40;

}  // namespace plimsoll
