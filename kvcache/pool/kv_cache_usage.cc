// How full live blocks are, counted as tokens come and go, and who holds what.
//
// A block is as full as the one of its holders says that has most tokens in it, and a named block
// is full: others find all that it holds. Only the last block of a sequence is part full, so nearly
// always all holders of a block say the same; those of which they do not are remembered.
#include <algorithm>

#include "kvcache/base/check.h"
#include "kvcache/pool/kv_cache.h"

namespace plimsoll {

CacheUsage KvCache::Usage() const {
  return {.slots = counts_.live.value() * block_tokens_, .filled = filled_};
}

std::vector<Holder> KvCache::Holders() const {
  std::vector<Holder> holders;
  for (const auto& [id, sequence] : sequences_) {
    Blocks shared;
    for (const BlockId block : sequence.blocks) {
      const int32_t others = pool_.References(block) - (IsNamed(sequence, block) ? 1 : 0) - 1;
      if (others > 0) shared += Blocks(1);
    }
    holders.push_back({.sequence = id,
                       .length = sequence.length,
                       .held = Blocks(std::ssize(sequence.blocks)),
                       .shared = shared,
                       .promise_left = sequence.promise_left});
  }
  std::sort(holders.begin(), holders.end(),
            [](const Holder& a, const Holder& b) { return a.sequence < b.sequence; });
  return holders;
}

Tokens KvCache::TokensIn(const Sequence& sequence, int64_t position) const {
  const Tokens before = position * block_tokens_;
  if (sequence.length <= before) return Tokens(0);
  return std::min(sequence.length - before, block_tokens_);
}

bool KvCache::IsNamed(const Sequence& sequence, BlockId block) const {
  return sequence.prefix && prefixes_->index.Contains(block);
}

void KvCache::CountFewer(BlockId block, Tokens before, std::optional<Tokens> after,
                         int32_t others) {
  if (others == 0) {
    filled_ -= before - after.value_or(Tokens(0));
    return;
  }
  auto found = uneven_.find(block);
  if (found == uneven_.end()) {
    if (!after || *after == before) return;
    found = uneven_.try_emplace(block, std::map<Tokens, int32_t>{{before, others + 1}}).first;
  }
  std::map<Tokens, int32_t>& holders = found->second;
  const Tokens most = holders.rbegin()->first;
  if (--holders.at(before) == 0) holders.erase(before);
  if (after) ++holders[*after];
  filled_ -= most - holders.rbegin()->first;
  if (holders.size() == 1) uneven_.erase(found);
}

}  // namespace plimsoll
