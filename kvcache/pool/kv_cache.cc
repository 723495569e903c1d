#include "kvcache/pool/kv_cache.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

// Every change is a move between two of the four states, so none can lose a block.
void Move(Blocks n, Blocks& from, Blocks& to) {
  PLIMSOLL_CHECK(n <= from, n, from);
  from -= n;
  to += n;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const Options& options) {
  const int64_t block_tokens = options.block_tokens.value();
  if (block_tokens > 1024 || !std::has_single_bit(static_cast<uint64_t>(block_tokens))) {
    return BadField("block_tokens", block_tokens, "a power of two in [1, 1024]");
  }
  absl::StatusOr<BlockPool> pool = BlockPool::Create(options.capacity);
  if (!pool.ok()) return pool.status();
  return std::unique_ptr<KvCache>(new KvCache(*std::move(pool), options.block_tokens));
}

KvCache::KvCache(BlockPool pool, Tokens block_tokens)
    : block_tokens_(block_tokens), pool_(std::move(pool)) {
  counts_.total = pool_.capacity();
  counts_.free = pool_.capacity();
}

bool KvCache::Promise(Blocks n) {
  if (n > counts_.free) return false;
  Move(n, counts_.free, counts_.reserved);
  unclaimed_ += n;
  Verify();
  return true;
}

void KvCache::Forgo(Blocks n) {
  PLIMSOLL_CHECK(n <= unclaimed_, n, unclaimed_);
  unclaimed_ -= n;
  Move(n, counts_.reserved, counts_.free);
  Verify();
}

SequenceId KvCache::Begin(Blocks promised) {
  PLIMSOLL_CHECK(promised <= unclaimed_, promised, unclaimed_);
  unclaimed_ -= promised;
  const SequenceId id = sequences_.Add(promised);
  Verify();
  return id;
}

void KvCache::AddPromise(SequenceId id, Blocks n) {
  PLIMSOLL_CHECK(n <= unclaimed_, n, unclaimed_);
  sequences_.At(id).promise_left += n;
  unclaimed_ -= n;
  Verify();
}

std::optional<AppendPlan> KvCache::PlanAppend(SequenceId id, Tokens n) const {
  PLIMSOLL_CHECK(n > Tokens(0), id);
  const Sequence& sequence = sequences_.At(id);
  if (n > counts_.total.value() * block_tokens_) return std::nullopt;  // the sum below is bounded
  const Tokens length = sequence.length + n;
  const Blocks held(std::ssize(sequence.blocks));
  const Blocks take = BlocksForSequence(length, block_tokens_) - held;
  const Blocks from_promise = std::min(take, sequence.promise_left);
  const Blocks from_free = take - from_promise;
  if (from_free > counts_.free) return std::nullopt;
  return AppendPlan{.sequence = id,
                    .old_length = sequence.length,
                    .new_length = length,
                    .from_promise = from_promise,
                    .from_free = from_free};
}

void KvCache::Commit(const AppendPlan& plan) {
  PLIMSOLL_CHECK(plan.new_length > plan.old_length, plan.old_length, plan.new_length);
  PLIMSOLL_CHECK(PlanAppend(plan.sequence, plan.new_length - plan.old_length) == plan,
                 plan.sequence, Length(plan.sequence), plan.old_length, plan.new_length,
                 plan.from_promise, plan.from_free, PromiseLeft(plan.sequence), counts_.free);
  Sequence& sequence = sequences_.At(plan.sequence);
  const bool taken = pool_.TryAcquire(plan.from_promise + plan.from_free, sequence.blocks);
  PLIMSOLL_CHECK(taken, plan.from_promise, plan.from_free, pool_.free());
  sequence.length = plan.new_length;
  sequence.promise_left -= plan.from_promise;
  Move(plan.from_promise, counts_.reserved, counts_.live);
  Move(plan.from_free, counts_.free, counts_.live);
  Verify();
}

void KvCache::End(SequenceId id) {
  const Sequence& sequence = sequences_.At(id);
  pool_.Release(sequence.blocks);
  Move(Blocks(std::ssize(sequence.blocks)), counts_.live, counts_.free);
  Move(sequence.promise_left, counts_.reserved, counts_.free);
  sequences_.Remove(id);
  Verify();
}

}  // namespace plimsoll
