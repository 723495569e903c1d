#include "kvcache/pool/swap_tier.h"

#include <algorithm>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {

absl::StatusOr<std::unique_ptr<SwapTier>> SwapTier::Create(KvCache& cache,
                                                           std::unique_ptr<Arena> arena,
                                                           Bytes block_bytes, Blocks capacity) {
  if (block_bytes == Bytes(0)) return BadField("block_bytes", 0, "at least 1");
  absl::StatusOr<BlockPool> pool = BlockPool::Create(capacity);
  if (!pool.ok()) return pool.status();
  const Bytes room = arena->chunks() * arena->chunk_bytes();
  const Blocks most = BlocksFittingIn(room, block_bytes);
  if (capacity > most) {
    return BadField("swap_blocks", capacity.value(),
                    "at most " + std::to_string(most.value()) + ", which the arena can hold");
  }
  const Bytes bytes = capacity.value() * block_bytes;
  const int64_t chunks = CeilDivide(bytes.value(), arena->chunk_bytes().value());
  PLIMSOLL_RETURN_IF_ERROR(arena->Commit({.first = 0, .count = chunks}));
  return std::unique_ptr<SwapTier>(
      new SwapTier(cache, std::move(arena), block_bytes, *std::move(pool)));
}

SwapTier::SwapTier(KvCache& cache, std::unique_ptr<Arena> arena, Bytes block_bytes, BlockPool pool)
    : cache_(cache), arena_(std::move(arena)), block_bytes_(block_bytes), pool_(std::move(pool)) {}

std::optional<std::vector<BlockCopy>> SwapTier::SwapOut(SequenceId id) {
  PLIMSOLL_CHECK(!Has(id), id);
  Record record{.length = cache_.Length(id), .blocks = {}};
  const Blocks needed = BlocksForSequence(record.length, cache_.block_tokens());
  if (!pool_.TryAcquire(needed, record.blocks)) return std::nullopt;
  std::vector<BlockCopy> copies;
  for (int64_t i = 0; i < needed.value(); ++i) {
    copies.push_back({.from = cache_.Table(id)[static_cast<size_t>(i)],
                      .to = record.blocks[static_cast<size_t>(i)],
                      .tokens = TokensIn(i, record.length)});
  }
  cache_.Preempt(id);
  copied_out_ += needed;
  swapped_.emplace(id, std::move(record));
  return copies;
}

std::optional<std::vector<BlockCopy>> SwapTier::SwapIn(SequenceId id, const Prompt& prompt,
                                                       Blocks total) {
  const Record& record = RecordOf(id);
  PLIMSOLL_CHECK(total >= Blocks(std::ssize(record.blocks)), id, total, record.length);
  const int64_t full = std::min(prompt.names.size(), record.length / cache_.block_tokens());
  const Prompt known{prompt.salt, prompt.names.Subrange(0, full)};
  if (!cache_.Resume(id, known, total)) return std::nullopt;
  const int64_t found = std::ssize(cache_.Table(id));
  if (cache_.Length(id) < record.length) {
    const auto plan = cache_.PlanAppend(id, record.length - cache_.Length(id));
    PLIMSOLL_CHECK(plan && plan->from_free == Blocks(0), id, total, record.length);
    cache_.Commit(*plan);
  }
  std::vector<BlockCopy> copies;
  for (int64_t i = found; i < std::ssize(record.blocks); ++i) {
    copies.push_back({.from = record.blocks[static_cast<size_t>(i)],
                      .to = cache_.Table(id)[static_cast<size_t>(i)],
                      .tokens = TokensIn(i, record.length)});
  }
  copied_in_ += Blocks(std::ssize(copies));
  Drop(id);
  return copies;
}

void SwapTier::Drop(SequenceId id) {
  pool_.Release(RecordOf(id).blocks);
  swapped_.erase(id);
}

std::byte* SwapTier::At(BlockId block) const {
  PLIMSOLL_CHECK(Blocks(block.index()) < pool_.capacity(), block, pool_.capacity());
  return arena_->base() + block.index() * block_bytes_.value();
}

SwapCounts SwapTier::counts() const {
  return {.total = pool_.capacity(),
          .held = pool_.used(),
          .free = pool_.free(),
          .sequences = std::ssize(swapped_),
          .copied_out = copied_out_,
          .copied_in = copied_in_};
}

std::optional<std::string> SwapTier::FindViolation() const {
  Blocks held;
  for (const auto& [id, record] : swapped_) {
    const std::string name = "swapped sequence " + std::to_string(id.number());
    const Blocks has(std::ssize(record.blocks));
    if (has != BlocksForSequence(record.length, cache_.block_tokens())) {
      return name + " has " + std::to_string(has.value()) + " blocks for " +
             std::to_string(record.length.value()) + " tokens";
    }
    for (const BlockId block : record.blocks) {
      if (pool_.References(block) != 1) {
        return "block " + std::to_string(block.index()) + " of " + name + " is not its own";
      }
    }
    held += has;
  }
  if (held != pool_.used()) {
    return std::to_string(pool_.used().value()) + " blocks are held, " +
           std::to_string(held.value()) + " of them by swapped sequences";
  }
  return pool_.FindViolation();
}

const SwapTier::Record& SwapTier::RecordOf(SequenceId id) const {
  const auto found = swapped_.find(id);
  PLIMSOLL_CHECK(found != swapped_.end(), id);
  return found->second;
}

Tokens SwapTier::TokensIn(int64_t block, Tokens length) const {
  return std::min(cache_.block_tokens(), length - block * cache_.block_tokens());
}

}  // namespace plimsoll
