// Sharing: which blocks a prompt finds, how a sequence names its own, what is kept and what goes.
#include <algorithm>
#include <array>

#include "kvcache/base/check.h"
#include "kvcache/pool/block_counts.h"
#include "kvcache/pool/kv_cache.h"

namespace plimsoll {
namespace {

// Keys are made so many at a time, and what they lead to is fetched while the others are made.
constexpr int64_t kBatch = 64;

// Walks the names of a prompt after `key`, its root, until one is not there: calls `keys_made` with
// the keys of each batch, and `found` with each block that is there and its key.
template <class Prefixes, class KeysMade, class Found>
void Walk(const Prefixes& prefixes, PrefixKey key, const BlockNames& all, const KeysMade& keys_made,
          const Found& found) {
  PrefixParent parent = PrefixParent::Root(key);
  for (int64_t first = 0; first < all.size(); first += kBatch) {
    const BlockNames names = all.Subrange(first, std::min(kBatch, all.size() - first));
    std::array<PrefixKey, kBatch> made;
    const auto keys = std::span<PrefixKey>(made).first(static_cast<size_t>(names.size()));
    for (int64_t i = 0; i < names.size(); ++i) {
      keys[static_cast<size_t>(i)] = key = prefixes.hasher.Next(key, names[i]);
      prefixes.index.Prefetch(key);
    }
    keys_made(keys);
    prefixes.index.Prefetch(keys);
    for (int64_t i = 0; i < names.size(); ++i) {
      const PrefixKey& its_key = keys[static_cast<size_t>(i)];
      const std::optional<BlockId> block = prefixes.index.Find(its_key, parent, names[i]);
      if (!block) return;
      found(*block, its_key);
      parent = PrefixParent(*block);
    }
  }
}

constexpr Blocks kOne(1);

Prompt Bounded(const Prompt& prompt, Blocks total) {
  return {prompt.salt, prompt.names.Subrange(0, std::min(prompt.names.size(), total.value()))};
}

}  // namespace

absl::StatusOr<KvCache::Prefixes> KvCache::CreatePrefixes(const Options& options, Blocks most,
                                                          const BlockRows& rows) {
  const size_t bytes_of_tokens =
      static_cast<size_t>(options.block_tokens.value()) * sizeof(int32_t);
  absl::StatusOr<PrefixIndex> index = PrefixIndex::Create(
      most, std::max(bytes_of_tokens, sizeof(uint64_t)), BlockColumn(rows, &BlockRow::entry));
  if (!index.ok()) return index.status();
  auto policy = CreateEvictionPolicy(options.eviction, most, options.block_tokens,
                                     {.links = BlockColumn(rows, &BlockRow::links),
                                      .kept_at = BlockColumn(rows, &BlockRow::kept_at)});
  if (!policy.ok()) return policy.status();
  Prefixes prefixes{PrefixHasher(options.hash_seed), *std::move(index), *std::move(policy), {}, {}};
  PLIMSOLL_RETURN_IF_ERROR(CreateEvents(options, most, prefixes));
  return prefixes;
}

absl::Status KvCache::CreateEvents(const Options& options, Blocks most, Prefixes& prefixes) {
  if (options.events == 0) return absl::OkStatus();
  auto events = BlockEvents::Create(options.events, options.block_tokens);
  if (!events.ok()) return events.status();
  prefixes.events = *std::move(events);
  prefixes.by_hash = ZeroedArray<bool>(static_cast<size_t>(most.value()));
  if (prefixes.by_hash) return absl::OkStatus();
  return absl::ResourceExhaustedError("no memory to tell events");
}

PrefixFound KvCache::Find(const Prompt& prompt) const {
  PrefixFound there;
  if (!prefixes_) return there;
  const auto ignore = [](std::span<const PrefixKey>) {};
  Walk(*prefixes_, prefixes_->hasher.Root(prompt.salt, prompt.names.by_hash()), prompt.names,
       ignore, [&](BlockId block, const PrefixKey&) {
         there.blocks += kOne;
         if (pool_.References(block) == 1) there.cached += kOne;
       });
  return there;
}

bool KvCache::LookUp(const Prompt& prompt, Blocks total) {
  auto& [found, keys, prefix] = looked_up_;
  found.clear();
  keys.clear();
  if (!prefixes_) return total <= available();
  const Prompt bounded = Bounded(prompt, total);
  const PrefixKey root = prefixes_->hasher.Root(prompt.salt, prompt.names.by_hash());
  PrefixKey last = root;
  Blocks cached;
  Walk(
      *prefixes_, root, bounded.names,
      [&all = keys](std::span<const PrefixKey> made) {
        all.insert(all.end(), made.begin(), made.end());
      },
      [&, &blocks = found](BlockId block, const PrefixKey& key) {
        blocks.push_back(block);
        last = key;
        if (pool_.References(block) == 1) cached += kOne;
      });
  const int64_t count = std::ssize(found);
  prefix = {.root = root,
            .parent = found.empty() ? PrefixParent::Root(root) : PrefixParent(found.back()),
            .key = last,
            .found = count,
            .named = count};
  return total - Blocks(count) <= available() - cached;
}

// Only now does the policy hear of the request: one that had no room did not come.
void KvCache::TellPolicy(const BlockNames& names) {
  auto& [found, keys, prefix] = looked_up_;
  EvictionPolicy& policy = *prefixes_->policy;
  policy.BeginRequest();
  if (policy.LearnsFromKeys()) {
    for (int64_t i = std::ssize(keys); i < names.size(); ++i) {
      keys.push_back(prefixes_->hasher.Next(keys.back(), names[i]));
    }
    policy.Asked(keys);
  }
  prefix->tag = policy.Found(found, names.size());
}

void KvCache::Start(Sequence& sequence, const Prompt& prompt, Blocks total) {
  if (prefixes_) TellPolicy(Bounded(prompt, total).names);
  sequence.prefix = looked_up_.prefix;
  sequence.blocks.reserve(static_cast<size_t>(total.value()));
  sequence.blocks.assign(looked_up_.found.begin(), looked_up_.found.end());
  for (const BlockId block : sequence.blocks) HoldFound(block);
  const Blocks found(std::ssize(sequence.blocks));
  sequence.length = sequence.reach = found.value() * block_tokens_;
  sequence.promise_left = total - found;
  MakeRoom(sequence.promise_left);
  MoveBlocks(sequence.promise_left, counts_.free, counts_.reserved);
}

std::optional<SequenceId> KvCache::BeginWith(const Prompt& prompt, Blocks total) {
  PLIMSOLL_CHECK(prefixes_.has_value());
  if (!LookUp(prompt, total)) return std::nullopt;
  const SequenceId id = sequences_.Add(total);
  Start(sequences_.At(id), prompt, total);
  Verify();
  return id;
}

void KvCache::HoldFound(BlockId block) {
  if (pool_.References(block) == 1) {
    prefixes_->policy->Hold(block);
    MoveBlocks(kOne, counts_.cached, counts_.live);
    filled_ += block_tokens_;
  }
  pool_.Share(block);
}

void KvCache::Name(SequenceId id, const BlockNames& names) {
  Sequence& sequence = sequences_.At(id);
  PLIMSOLL_CHECK(sequence.prefix.has_value(), id);
  PLIMSOLL_CHECK((sequence.prefix->named + names.size()) * block_tokens_ <= sequence.length, id,
                 sequence.prefix->named, names.size(), sequence.length);
  for (int64_t first = 0; first < names.size(); first += kBatch) {
    NameBatch(sequence, names.Subrange(first, std::min(kBatch, names.size() - first)));
  }
  Verify();
}

void KvCache::NameBatch(Sequence& sequence, const BlockNames& names) {
  const auto count = static_cast<size_t>(names.size());
  const auto named = static_cast<size_t>(sequence.prefix->named);
  std::array<PrefixKey, kBatch> made;
  const auto keys = std::span<PrefixKey>(made).first(count);
  PrefixKey key = sequence.prefix->key;
  for (size_t i = 0; i < count; ++i) {
    keys[i] = key = prefixes_->hasher.Next(key, names[static_cast<int64_t>(i)]);
    prefixes_->index.Prefetch(key);
  }
  prefixes_->index.PrefetchAdd(keys, std::span(sequence.blocks).subspan(named, count));
  for (int64_t i = 0; i < names.size(); ++i) {
    NameNext(sequence, keys[static_cast<size_t>(i)], names, i);
  }
}

void KvCache::NameNext(Sequence& sequence, const PrefixKey& key, const BlockNames& names,
                       int64_t i) {
  const std::span<const std::byte> content = names[i];
  auto& [hasher, index, policy, events, by_hash] = *prefixes_;
  NamedPrefix& prefix = *sequence.prefix;
  prefix.key = key;
  const BlockId block = sequence.blocks[static_cast<size_t>(prefix.named)];
  const std::optional<BlockId> same = index.Find(prefix.key, prefix.parent, content);
  if (same) {
    if (*same != block) TakeOver(sequence, *same);  // else a fork was first to name what both hold
  } else {
    index.Add(block, prefix.key, prefix.parent, content);
    pool_.Share(block);
    uneven_.erase(block);
    policy->Stored(block);
    TellStored(block, names, content);
  }
  prefix.parent = PrefixParent(same.value_or(block));
  ++prefix.named;
}

// Forks that hold the same block take the other one over too: who holds a named block must hold
// those before it, or what is cached could not be evicted. One that was cut inside this block holds
// nothing after it and stays as it is.
void KvCache::TakeOver(Sequence& sequence, BlockId other) {
  const int64_t position = sequence.prefix->named;
  const auto i = static_cast<size_t>(position);
  const BlockId block = sequence.blocks[i];
  Sequence* each = &sequence;
  do {
    const bool full = each->length >= (position + 1) * block_tokens_;
    if (full && each->blocks[i] == block) {
      HoldFound(other);
      LetGo(*each, position);
      each->blocks[i] = other;
    }
    each = each->next_fork;
  } while (each != &sequence);
}

Blocks KvCache::Found(SequenceId id) const {
  const Sequence& sequence = sequences_.At(id);
  return Blocks(sequence.prefix ? sequence.prefix->found : 0);
}

std::optional<Blocks> KvCache::Named(SequenceId id) const {
  const Sequence& sequence = sequences_.At(id);
  if (!sequence.prefix) return std::nullopt;
  return Blocks(sequence.prefix->named);
}

void KvCache::Keep(BlockId block, const NamedPrefix& prefix, int64_t position) {
  const int64_t end = std::max(prefix.named, position + 1);  // a fork may have named it
  const bool found = position < prefix.found;
  const bool last = !found && position == end - 1;
  prefixes_->index.LetGo(block);
  prefixes_->policy->Keep(block, prefixes_->index.KeyOf(block),
                          {.tag = prefix.tag,
                           .found = found,
                           .last = last,
                           .position = found  ? position
                                       : last ? 0
                                              : position - prefix.found,
                           .part_size = found  ? prefix.found
                                        : last ? 1
                                               : end - prefix.found - 1});
}

void KvCache::TakeBackNames(Sequence& sequence, int64_t blocks) {
  NamedPrefix& prefix = *sequence.prefix;
  if (prefix.named <= blocks) return;
  prefix.found = std::min(prefix.found, blocks);
  prefix.named = blocks;
  prefix.key = prefix.root;
  prefix.parent = PrefixParent::Root(prefix.root);
  if (blocks == 0) return;
  const BlockId last = sequence.blocks[static_cast<size_t>(blocks - 1)];
  prefix.key = prefixes_->index.KeyOf(last);
  prefix.parent = PrefixParent(last);
}

PrefixKey KvCache::EvictOne() {
  auto& [hasher, index, policy, events, by_hash] = *prefixes_;
  BlockId victim = policy->Next();
  while (index.children(victim) > 0) {
    policy->SetAside(victim);
    victim = policy->Next();
  }
  if (const std::optional<BlockId> soon = index.LetGoAfter(victim)) {
    index.PrefetchRemove(*soon);
    policy->Prefetch(*soon);
    pool_.Prefetch(*soon);
  }
  policy->Removed(victim);
  const PrefixKey key = index.KeyOf(victim);
  const PrefixParent above = index.Remove(victim);
  if (!above.is_root() && index.children(above.id()) == 0) policy->BringBack(above.id());
  pool_.Release(victim);
  MoveBlocks(kOne, counts_.cached, counts_.free);
  return key;
}

void KvCache::EvictOneAndTell() {
  const PrefixKey key = EvictOne();
  if (prefixes_->events) prefixes_->events->Removed(key);
}

void KvCache::MakeRoom(Blocks n) {
  while (counts_.free < n) EvictOneAndTell();
}

void KvCache::TrimCached(Blocks n) {
  while (counts_.cached > n) EvictOneAndTell();
  Verify();
}

}  // namespace plimsoll
