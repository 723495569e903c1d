#include "kvcache/sizing/pool_capacity.h"

#include <algorithm>

#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

Blocks BlocksOf(const PoolShape& pool, Tokens context) {
  return BlocksForSequence(context + pool.lookahead, pool.block_tokens);
}

// Full blocks of the prefix, less the one that holds the sequence's own last token.
Blocks SharedBlocks(const PoolShape& pool, Tokens context) {
  const Tokens shared = std::min(pool.shared_prefix, context - Tokens(1));
  return Blocks(shared.value() / pool.block_tokens.value());
}

// How many times `each` fits in what `common` leaves of the pool.
int64_t TimesIn(const PoolShape& pool, Bytes common, Bytes each) {
  if (common > pool.bytes) return 0;
  return each == Bytes(0) ? kUnlimited : (pool.bytes - common) / each;
}

// No sequence is longer than the pool, so that no product below leaves 64 bits.
bool IsTooLong(const PoolShape& pool, Tokens context) {
  return pool.block_bytes > Bytes(0) &&
         BlocksOf(pool, context) > BlocksFittingIn(pool.bytes, pool.block_bytes);
}

}  // namespace

int64_t SequencesIn(const PoolShape& pool, Tokens context) {
  if (IsTooLong(pool, context)) return 0;
  if (pool.block_bytes == Bytes(0)) return TimesIn(pool, Bytes(0), pool.state_bytes);
  const Blocks shared = SharedBlocks(pool, context);
  const Blocks own = BlocksOf(pool, context) - shared;
  return TimesIn(pool, pool.block_bytes * shared.value(),
                 pool.block_bytes * own.value() + pool.state_bytes);
}

int64_t GroupedSequencesIn(const PoolShape& pool, Tokens context) {
  if (pool.windows.empty()) return SequencesIn(pool, context);
  const Blocks all = BlocksOf(pool, context);
  const Blocks shared = SharedBlocks(pool, context);
  Bytes full = pool.block_bytes;
  Bytes common(0);
  Bytes own = pool.state_bytes;
  for (const WindowGroup& group : pool.windows) {
    const Blocks kept = BlocksForSequence(Retention::Window(group.window), context + pool.lookahead,
                                          Tokens(1) + pool.lookahead, pool.block_tokens);
    const Blocks alone = std::min(kept, all - shared);
    full = full - group.block_bytes;
    own += group.block_bytes * alone.value();
    common += group.block_bytes * (kept - alone).value();
  }
  if (full > Bytes(0) && all > BlocksFittingIn(pool.bytes, full)) return 0;
  return TimesIn(pool, common + full * shared.value(), own + full * (all - shared).value());
}

Tokens LongestContextIn(const PoolShape& pool, Tokens most) {
  if (pool.bytes < pool.state_bytes) return Tokens(0);
  if (pool.block_bytes == Bytes(0)) return most;
  const Blocks blocks = BlocksFittingIn(pool.bytes - pool.state_bytes, pool.block_bytes);
  const Tokens room = pool.block_tokens * blocks.value();
  return room > pool.lookahead ? std::min(room - pool.lookahead, most) : Tokens(0);
}

}  // namespace plimsoll
