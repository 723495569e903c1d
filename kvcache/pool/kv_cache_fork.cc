// Sequences that share a beginning: forking, copying on the first write, and taking tokens back.
//
// Blocks are shared by reference count. A block that anybody else holds, or finds by its name, is
// never written: who would write into it gets a copy first. Only the last block can be part full,
// so an append copies one block at most.
#include <algorithm>

#include "kvcache/base/check.h"
#include "kvcache/pool/block_counts.h"
#include "kvcache/pool/kv_cache.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

constexpr Blocks kOne(1);

}  // namespace

// A last block that is part full comes with a spare, set aside of the promise: of the two, the one
// that writes first takes it, and the other writes in place.
SequenceId KvCache::Fork(SequenceId id, Blocks promised) {
  PLIMSOLL_CHECK(promised <= unclaimed_, promised, unclaimed_);
  const Sequence& parent = sequences_.At(id);
  const Blocks shared = BlocksForSequence(parent.length, block_tokens_);
  const bool part_full = parent.length.value() % block_tokens_.value() != 0;
  PLIMSOLL_CHECK(!part_full || promised > Blocks(0), id, parent.length);
  unclaimed_ -= promised;
  const SequenceId its_id = sequences_.AddFork(id, shared + promised);
  Sequence& fork = sequences_.At(its_id);
  fork.promise_left = promised - Blocks(part_full ? 1 : 0);
  fork.length = fork.reach = parent.length;
  fork.prefix = parent.prefix;
  fork.blocks.assign(parent.blocks.begin(), parent.blocks.begin() + shared.value());
  for (int64_t i = 0; i < shared.value(); ++i) {
    const BlockId block = fork.blocks[static_cast<size_t>(i)];
    pool_.Share(block);
    const auto uneven = uneven_.find(block);
    if (uneven != uneven_.end()) ++uneven->second.at(TokensIn(parent, i));
  }
  if (part_full) ++spares_[fork.blocks.back()];
  Verify();
  return its_id;
}

std::optional<BlockId> KvCache::SharedTail(const Sequence& sequence) const {
  const int64_t length = sequence.length.value();
  if (length % block_tokens_.value() == 0) return std::nullopt;
  const BlockId tail = sequence.blocks[static_cast<size_t>(length / block_tokens_.value())];
  return pool_.References(tail) > 1 ? std::optional(tail) : std::nullopt;
}

BlockCopy KvCache::ReplaceTail(Sequence& sequence, bool from_spare) {
  const int64_t position = sequence.length / block_tokens_;
  const BlockId shared = sequence.blocks[static_cast<size_t>(position)];
  const std::optional<BlockId> own = pool_.TryAcquire();
  PLIMSOLL_CHECK(own.has_value(), shared, pool_.free());
  if (from_spare && --spares_.at(shared) == 0) spares_.erase(shared);
  LetGo(sequence, position);
  sequence.blocks[static_cast<size_t>(position)] = *own;
  filled_ += TokensIn(sequence, position);
  return {.from = shared,
          .to = *own,
          .tokens = Tokens(sequence.length.value() % block_tokens_.value())};
}

Blocks KvCache::TakeBackSpare(BlockId block, int32_t holders) {
  if (spares_.empty()) return Blocks(0);
  const auto found = spares_.find(block);
  if (found == spares_.end() || found->second < holders) return Blocks(0);
  if (--found->second == 0) spares_.erase(found);
  MoveBlocks(kOne, counts_.reserved, counts_.free);
  return kOne;
}

void KvCache::CutLast(const Sequence& sequence, int64_t position, Tokens length) {
  const BlockId block = sequence.blocks[static_cast<size_t>(position)];
  if (IsNamed(sequence, block)) return;
  const Tokens after = std::min(length - position * block_tokens_, TokensIn(sequence, position));
  CountFewer(block, TokensIn(sequence, position), after, pool_.References(block) - 1);
}

// What the sequence took beyond its promise goes first, as it came last.
void KvCache::Truncate(SequenceId id, Tokens length) {
  Sequence& sequence = sequences_.At(id);
  PLIMSOLL_CHECK(length <= sequence.length, id, length, sequence.length);
  const int64_t kept = BlocksForSequence(length, block_tokens_).value();
  const Blocks room = LetGoFrom(sequence, kept);
  if (kept > 0) CutLast(sequence, kept - 1, length);
  sequence.blocks.erase(sequence.blocks.begin() + kept, sequence.blocks.end());
  sequence.length = sequence.reach = length;
  if (sequence.prefix) TakeBackNames(sequence, length / block_tokens_);
  const Blocks unpromised = std::min(room, sequence.beyond);
  const Blocks promised = room - unpromised;
  sequence.beyond -= unpromised;
  MakeRoom(promised);
  MoveBlocks(promised, counts_.free, counts_.reserved);
  sequence.promise_left += promised;
  Verify();
}

}  // namespace plimsoll
