// What the cache tells those who mirror its named blocks.
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/pool/kv_cache.h"

namespace plimsoll {

void KvCache::TellStored(BlockId block, const BlockNames& names,
                         std::span<const std::byte> content) {
  if (!prefixes_->events) return;
  prefixes_->by_hash[static_cast<size_t>(block.index())] = names.by_hash();
  prefixes_->events->Stored({.key = prefixes_->index.KeyOf(block),
                             .parent = ParentKeyOf(block),
                             .by_hash = names.by_hash(),
                             .content = content});
}

std::optional<PrefixKey> KvCache::ParentKeyOf(BlockId block) const {
  const std::optional<BlockId> parent = prefixes_->index.ParentOf(block).block();
  return parent ? std::optional(prefixes_->index.KeyOf(*parent)) : std::nullopt;
}

int64_t KvCache::LastEvent() const {
  return prefixes_ && prefixes_->events ? prefixes_->events->last() : 0;
}

std::optional<std::vector<BlockEvent>> KvCache::EventsSince(int64_t number, int64_t most) const {
  PLIMSOLL_CHECK(most > 0, most);
  if (!prefixes_ || !prefixes_->events) return std::nullopt;
  return prefixes_->events->Since(number, most);
}

// From each block up to what was told already, then down again: parents before children, and chains
// in one event.
std::vector<BlockEvent> KvCache::EventSnapshot() const {
  std::vector<BlockEvent> events = {{.kind = BlockEventKind::kCleared, .number = LastEvent()}};
  if (!prefixes_ || !prefixes_->events) return events;
  const PrefixIndex& index = prefixes_->index;
  std::vector<bool> told(static_cast<size_t>(counts_.total.value()), false);
  std::vector<BlockId> path;
  for (int32_t i = 0; i < counts_.total.value(); ++i) {
    for (std::optional<BlockId> at(i); at && index.Contains(*at);
         at = index.ParentOf(*at).block()) {
      if (told[static_cast<size_t>(at->index())]) break;
      told[static_cast<size_t>(at->index())] = true;
      path.push_back(*at);
    }
    for (; !path.empty(); path.pop_back()) {
      const BlockId block = path.back();
      AppendStored({.key = index.KeyOf(block),
                    .parent = ParentKeyOf(block),
                    .by_hash = prefixes_->by_hash[static_cast<size_t>(block.index())],
                    .content = index.ContentOf(block)},
                   LastEvent(), block_tokens_, events);
    }
  }
  return events;
}

bool KvCache::ForgetNames() {
  if (!prefixes_) return true;
  if (counts_.live > Blocks(0)) return false;
  while (counts_.cached > Blocks(0)) EvictOne();
  if (prefixes_->events) prefixes_->events->Cleared();
  Verify();
  return true;
}

}  // namespace plimsoll
