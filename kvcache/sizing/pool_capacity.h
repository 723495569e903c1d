// What a pool of blocks holds: sequences of a context, and the longest context.
//
// A sequence of n tokens, with what it looks ahead, takes BlocksForSequence(n + lookahead) blocks
// and its state. Of those blocks the full ones of a prefix that all sequences share are there once;
// the last token is each sequence's own. So S sequences fit where
//
//   shared x block + S x ((blocks - shared) x block + state) <= pool
//
// `GroupedSequencesIn` is the same for a pool in which layers with a window keep only the last
// blocks of a sequence: what BlocksForSequence says of a group with that retention, whose steps are
// of one token and those it looks ahead.
//
// Threads: pure. Cost: O(1). Errors: none; what is unlimited is kUnlimited.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "kvcache/base/units.h"

namespace plimsoll {

inline constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// Layers with windows of one size.
struct WindowGroup {
  Tokens window;
  Bytes block_bytes;  // of these layers, of one block
};

struct PoolShape {
  Bytes bytes;        // that blocks and states have together
  Bytes block_bytes;  // 0: nothing is kept of single tokens
  Bytes state_bytes;  // of one sequence, beside its blocks
  Tokens block_tokens;
  Tokens lookahead = Tokens(0);
  Tokens shared_prefix = Tokens(0);
  std::vector<WindowGroup> windows = {};  // their blocks are part of block_bytes
};

int64_t SequencesIn(const PoolShape& pool, Tokens context);
int64_t GroupedSequencesIn(const PoolShape& pool, Tokens context);
// Of one sequence alone, at most `most`.
Tokens LongestContextIn(const PoolShape& pool, Tokens most);

}  // namespace plimsoll
