// The one function that says how many blocks a request needs. The planner, CanAdmit, Reserve and
// the allocator all call it, so that what is promised is what is taken.
//
// Threads: pure. Cost: O(1). Errors: none; Tokens are bounded where they enter.
#pragma once

#include <algorithm>
#include <cstdint>

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

// What a group of layers keeps of a sequence: all of its tokens, those of a window, or one state.
struct Retention {
  enum class Kind : uint8_t { kAll, kWindow, kState };
  Kind kind = Kind::kAll;
  Tokens window = Tokens(0);  // with kWindow: tokens that one attends to, itself included

  static constexpr Retention All() { return {}; }
  static constexpr Retention Window(Tokens window) { return {Kind::kWindow, window}; }
  static constexpr Retention State() { return {.kind = Kind::kState}; }
};

// The most blocks that a sequence has in such a group at one time while it grows to `length` tokens
// by at most `step` > 0 at once. The first of a step attends to a window of tokens and the last
// comes `step` - 1 after it, so those of a window lie in a row of window + step - 1, which begins
// anywhere in a block. A state is one block, however many tokens.
constexpr Blocks BlocksForSequence(Retention retention, Tokens length, Tokens step,
                                   Tokens block_tokens) {
  if (retention.kind == Retention::Kind::kState) return Blocks(1);
  const Blocks all = BlocksForSequence(length, block_tokens);
  if (retention.kind == Retention::Kind::kAll) return all;
  const Tokens after_first = retention.window + step - Tokens(2);
  return std::min(all, BlocksCovering(after_first, block_tokens) + Blocks(1));
}

// The largest token count that anything outside may name: 2^40. Far above any model's context and
// far below where sums of a few of them, times any block size, could overflow.
inline constexpr int64_t kMaxTokens = int64_t{1} << 40;

}  // namespace plimsoll
