// The cache checks itself: counters against each other, and against a recount of every sequence.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/pool/kv_cache.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

#ifdef PLIMSOLL_DEBUG_CHECKS
constexpr bool kVerify = true;
#else
constexpr bool kVerify = false;
#endif
constexpr Blocks kVerifiedWhole(256);  // pools up to this size are recounted after every call

std::string Text(Blocks n) { return std::to_string(n.value()); }
std::string Text(SequenceId id) { return "sequence " + std::to_string(id.number()); }

std::string Text(const BlockCounts& counts) {
  return "live " + Text(counts.live) + " + cached " + Text(counts.cached) + " + reserved " +
         Text(counts.reserved) + " + free " + Text(counts.free) + ", total " + Text(counts.total);
}

}  // namespace

// Each block is held by as many sequences as its reference count says, one more if it is named.
std::optional<std::string> KvCache::FindWrongOwner() const {
  std::vector<int32_t> holders(static_cast<size_t>(counts_.total.value()), 0);
  for (const auto& [id, sequence] : sequences_) {
    for (const BlockId block : sequence.blocks) {
      const int32_t count = ++holders[static_cast<size_t>(block.index())];
      if (count > pool_.References(block)) {
        return "block " + std::to_string(block.index()) + " of " + Text(id) + " has " +
               std::to_string(pool_.References(block)) + " references, at least " +
               std::to_string(count) + " holders";
      }
    }
  }
  Blocks cached;
  for (int32_t i = 0; i < counts_.total.value(); ++i) {
    const int32_t held = holders[static_cast<size_t>(i)];
    const bool named = prefixes_ && prefixes_->index.Contains(BlockId(i));
    if (named && held == 0) cached += Blocks(1);
    const auto spares = spares_.find(BlockId(i));
    if (spares != spares_.end() && (spares->second < 1 || spares->second >= held)) {
      return "block " + std::to_string(i) + " has " + std::to_string(spares->second) +
             " spares and " + std::to_string(held) + " holders";
    }
    if (held + (named ? 1 : 0) != pool_.References(BlockId(i))) {
      return "block " + std::to_string(i) + " has a reference that no sequence holds";
    }
  }
  if (cached == counts_.cached) return std::nullopt;
  return Text(cached) + " blocks are cached: " + Text(counts_);
}

// The named blocks of each sequence are in the index. Others may be too: a fork may have named
// them, or the sequence was cut inside of one.
std::optional<std::string> KvCache::FindWrongPrefix() const {
  if (!prefixes_) return std::nullopt;
  for (const auto& [id, sequence] : sequences_) {
    const int64_t named = sequence.prefix ? sequence.prefix->named : 0;
    for (int64_t i = 0; i < std::ssize(sequence.blocks); ++i) {
      const BlockId block = sequence.blocks[static_cast<size_t>(i)];
      if (i < named && !prefixes_->index.Contains(block)) {
        return "block " + std::to_string(i) + " of " + Text(id) + " should be named and is not";
      }
      if (i > 0 && prefixes_->index.Contains(block) &&
          prefixes_->index.ParentOf(block) !=
              PrefixParent(sequence.blocks[static_cast<size_t>(i - 1)])) {
        return "block " + std::to_string(i) + " of " + Text(id) + " follows one it does not hold";
      }
    }
  }
  return prefixes_->index.FindViolation();
}

std::optional<std::string> KvCache::FindWrongSequence() const {
  Blocks promised = unclaimed_;
  for (const auto& [id, sequence] : sequences_) {
    const Blocks held(std::ssize(sequence.blocks));
    const Blocks want = BlocksForSequence(sequence.reach, block_tokens_);
    if (sequence.reach < sequence.length) return Text(id) + " has fewer slots than tokens";
    if (held != want) return Text(id) + " holds " + Text(held) + " blocks, needs " + Text(want);
    promised += sequence.promise_left;
  }
  for (const auto& [block, spares] : spares_) promised += Blocks(spares);
  if (promised == counts_.reserved) return std::nullopt;
  return "promises add up to " + Text(promised) + " blocks: " + Text(counts_);
}

std::optional<std::string> KvCache::FindWrongUsage() const {
  std::vector<Tokens> most(static_cast<size_t>(counts_.total.value()));
  for (const auto& [id, sequence] : sequences_) {
    for (int64_t i = 0; i < std::ssize(sequence.blocks); ++i) {
      const BlockId block = sequence.blocks[static_cast<size_t>(i)];
      Tokens& filled = most[static_cast<size_t>(block.index())];
      const bool full = prefixes_ && prefixes_->index.Contains(block);
      filled = full ? block_tokens_ : std::max(filled, TokensIn(sequence, i));
    }
  }
  const Tokens filled = std::accumulate(most.begin(), most.end(), Tokens(0));
  if (filled == filled_) return std::nullopt;
  return std::to_string(filled.value()) + " slots hold a token, not " +
         std::to_string(filled_.value());
}

std::optional<std::string> KvCache::FindViolation() const {
  if (!counts_.Conserved()) return "blocks are not conserved: " + Text(counts_);
  if (pool_.used() != counts_.live + counts_.cached) {
    return Text(pool_.used()) + " blocks are held: " + Text(counts_);
  }
  if (std::optional<std::string> wrong = pool_.FindViolation()) return wrong;
  if (std::optional<std::string> wrong = FindWrongOwner()) return wrong;
  if (std::optional<std::string> wrong = FindWrongPrefix()) return wrong;
  if (std::optional<std::string> wrong = FindWrongUsage()) return wrong;
  return FindWrongSequence();
}

void KvCache::CheckInvariants() const {
  const std::optional<std::string> violation = FindViolation();
  PLIMSOLL_CHECK(!violation.has_value(), *violation);
}

void KvCache::Verify() const {
  if (!kVerify) return;
  PLIMSOLL_CHECK(counts_.Conserved() && pool_.used() == counts_.live + counts_.cached,
                 Text(counts_), pool_.used());
  if (counts_.total <= kVerifiedWhole) CheckInvariants();
}

}  // namespace plimsoll
