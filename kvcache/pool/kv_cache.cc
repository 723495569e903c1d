#include "kvcache/pool/kv_cache.h"

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/pool/block_counts.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

constexpr Blocks kOne(1);

// Where nothing can be found, and for a pool that cannot be, none.
size_t RowsFor(const KvCache::Options& options) {
  if (options.eviction == Eviction::kOff) return 0;
  return FieldsFor(std::max(options.capacity, options.most));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const Options& options) {
  const int64_t block_tokens = options.block_tokens.value();
  if (block_tokens > 1024 || !std::has_single_bit(static_cast<uint64_t>(block_tokens))) {
    return BadField("block_tokens", block_tokens, "a power of two in [1, 1024]");
  }
  const auto rows = std::make_shared<ZeroedArray<BlockRow>>(RowsFor(options));
  absl::StatusOr<BlockPool> pool = CreatePool(options, rows);
  if (!pool.ok()) return pool.status();
  if (options.events != 0 && options.eviction == Eviction::kOff) {
    return BadField("events", options.events, "0 where nothing is cached");
  }
  std::optional<Prefixes> prefixes;
  if (options.eviction != Eviction::kOff) {
    absl::StatusOr<Prefixes> made = CreatePrefixes(options, pool->most(), rows);
    if (!made.ok()) return made.status();
    prefixes = *std::move(made);
  }
  return std::unique_ptr<KvCache>(
      new KvCache(*std::move(pool), options.block_tokens, std::move(prefixes)));
}

absl::StatusOr<BlockPool> KvCache::CreatePool(const Options& options, const BlockRows& rows) {
  const auto& [capacity, chunk, most] = std::tie(options.capacity, options.chunk, options.most);
  if (options.eviction == Eviction::kOff) return BlockPool::Create(capacity, chunk, most);
  return BlockPool::Create(capacity, chunk, most, BlockColumn(rows, &BlockRow::references));
}

KvCache::KvCache(BlockPool pool, Tokens block_tokens, std::optional<Prefixes> prefixes)
    : block_tokens_(block_tokens), pool_(std::move(pool)), prefixes_(std::move(prefixes)) {
  counts_.total = pool_.capacity();
  counts_.free = pool_.capacity();
}

bool KvCache::Promise(Blocks n) {
  if (n > available()) return false;
  MakeRoom(n);
  MoveBlocks(n, counts_.free, counts_.reserved);
  unclaimed_ += n;
  Verify();
  return true;
}

void KvCache::Forgo(Blocks n) {
  PLIMSOLL_CHECK(n <= unclaimed_, n, unclaimed_);
  unclaimed_ -= n;
  MoveBlocks(n, counts_.reserved, counts_.free);
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

std::optional<AppendPlan> KvCache::PlanAppend(SequenceId id, Tokens n, Tokens lookahead) const {
  PLIMSOLL_CHECK(n > Tokens(0), id);
  const Sequence& sequence = sequences_.At(id);
  const Tokens most = counts_.total.value() * block_tokens_;
  if (n > most || lookahead > most) return std::nullopt;  // the sums below are bounded
  const Tokens length = sequence.length + n;
  const Blocks held(std::ssize(sequence.blocks));
  const Blocks needed =
      BlocksForSequence(std::max(sequence.reach, length + lookahead), block_tokens_);
  const std::optional<BlockId> copied = SharedTail(sequence);
  const Blocks from_spare(copied && spares_.contains(*copied) ? 1 : 0);
  const Blocks take = needed - held + Blocks(copied ? 1 : 0) - from_spare;
  const Blocks from_promise = std::min(take, sequence.promise_left);
  const Blocks from_free = take - from_promise;
  if (from_free > available()) return std::nullopt;
  return AppendPlan{.sequence = id,
                    .old_length = sequence.length,
                    .new_length = length,
                    .lookahead = lookahead,
                    .copied = copied,
                    .from_spare = from_spare,
                    .from_promise = from_promise,
                    .from_free = from_free};
}

std::optional<BlockCopy> KvCache::Commit(const AppendPlan& plan) {
  PLIMSOLL_CHECK(plan.new_length > plan.old_length, plan.old_length, plan.new_length);
  PLIMSOLL_CHECK(
      PlanAppend(plan.sequence, plan.new_length - plan.old_length, plan.lookahead) == plan,
      plan.sequence, Length(plan.sequence), plan.old_length, plan.new_length, plan.from_promise,
      plan.from_free, PromiseLeft(plan.sequence), counts_.free);
  Sequence& sequence = sequences_.At(plan.sequence);
  MakeRoom(plan.from_free);
  const Blocks taken = plan.from_spare + plan.from_promise + plan.from_free;
  MoveBlocks(plan.from_spare + plan.from_promise, counts_.reserved, counts_.live);
  MoveBlocks(plan.from_free, counts_.free, counts_.live);
  sequence.promise_left -= plan.from_promise;
  sequence.beyond += plan.from_free;
  std::optional<BlockCopy> copy;
  if (plan.copied) copy = ReplaceTail(sequence, plan.from_spare > Blocks(0));
  const bool enough = pool_.TryAcquire(taken - Blocks(plan.copied ? 1 : 0), sequence.blocks);
  PLIMSOLL_CHECK(enough, taken, pool_.free());
  sequence.length = plan.new_length;
  filled_ += plan.new_length - plan.old_length;
  sequence.reach = std::max(sequence.reach, plan.new_length + plan.lookahead);
  Verify();
  return copy;
}

std::span<const BlockId> KvCache::AppendPromised(SequenceId id, Tokens n) {
  Sequence& sequence = sequences_.At(id);
  PLIMSOLL_CHECK(n > Tokens(0) && n <= counts_.total.value() * block_tokens_, id, n);
  // Only a fork or the index can hold a block besides.
  const bool may_share = prefixes_.has_value() || sequence.next_fork != &sequence;
  PLIMSOLL_CHECK(!may_share || !SharedTail(sequence), id);
  const Tokens length = sequence.length + n;
  const Tokens there = std::ssize(sequence.blocks) * block_tokens_;
  if (length > there) {
    const Blocks taken = BlocksCovering(length - there, block_tokens_);
    PLIMSOLL_CHECK(taken <= sequence.promise_left, id, taken, sequence.promise_left);
    MoveBlocks(taken, counts_.reserved, counts_.live);
    sequence.promise_left -= taken;
    const bool enough = pool_.TryAcquire(taken, sequence.blocks);
    PLIMSOLL_CHECK(enough, taken, pool_.free());
  }
  sequence.length = length;
  sequence.reach = std::max(sequence.reach, length);
  filled_ += n;
  Verify();
  return sequence.blocks;
}

// Last to first, so that of blocks kept at one time those in front, which more requests may share,
// are the youngest.
Blocks KvCache::LetGoFrom(const Sequence& sequence, int64_t first) {
  Blocks room;
  for (int64_t i = std::ssize(sequence.blocks) - 1; i >= first; --i) room += LetGo(sequence, i);
  return room;
}

Blocks KvCache::LetGo(const Sequence& sequence, int64_t position) {
  const BlockId block = sequence.blocks[static_cast<size_t>(position)];
  pool_.Release(block);
  const bool named = IsNamed(sequence, block);
  const int32_t holders = pool_.References(block) - (named ? 1 : 0);
  if (!named) CountFewer(block, TokensIn(sequence, position), std::nullopt, holders);
  if (holders > 0) return TakeBackSpare(block, holders);
  if (named) {
    MoveBlocks(kOne, counts_.live, counts_.cached);
    filled_ -= block_tokens_;
    Keep(block, *sequence.prefix, position);
  } else {
    MoveBlocks(kOne, counts_.live, counts_.free);
  }
  return kOne;
}

void KvCache::End(SequenceId id) {
  GiveUpAll(sequences_.At(id));
  sequences_.Remove(id);
  Verify();
}

}  // namespace plimsoll
