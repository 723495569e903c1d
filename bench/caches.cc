#include "bench/caches.h"

#include <algorithm>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

std::vector<BlockId> RandomOrder(int64_t blocks) {
  std::vector<BlockId> ids;
  for (int64_t i = 0; i < blocks; ++i) ids.emplace_back(static_cast<int32_t>(i));
  std::shuffle(ids.begin(), ids.end(), std::mt19937(5));
  return ids;
}

}  // namespace

// Sequences that grow block by block, in no order, take all there is, and end.
template <Eviction kEviction>
OurCache<kEviction>::OurCache(int64_t blocks)
    : cache_(*KvCache::Create(
          {.capacity = Blocks(blocks), .block_tokens = kBlockTokens, .eviction = kEviction})) {
  std::vector<SequenceId> sequences;
  for (int i = 0; i < 1000; ++i) sequences.push_back(cache_->Begin(Blocks(0)));
  std::mt19937 random(5);
  for (int64_t i = 0; i < blocks; ++i) {
    const SequenceId id = sequences[random() % sequences.size()];
    cache_->Commit(*cache_->PlanAppend(id, kBlockTokens));
  }
  std::shuffle(sequences.begin(), sequences.end(), random);
  for (const SequenceId id : sequences) cache_->End(id);
}

template <Eviction kEviction>
int64_t OurCache<kEviction>::Serve(Tokens32 tokens) {
  const Prompt prompt = PromptOf(tokens);
  const SequenceId id = *cache_->BeginWith(prompt, Blocks(kPromptBlocks));
  const int64_t found = cache_->Found(id).value();
  if (found < kPromptBlocks) {
    cache_->Commit(*cache_->PlanAppend(id, (kPromptBlocks - found) * kBlockTokens));
    cache_->Name(id, prompt.names.Subrange(found, kPromptBlocks - found));
  }
  cache_->End(id);
  return found;
}

template <Eviction kEviction>
void OurCache<kEviction>::Admit(Tokens32 tokens) {
  admitted_.push_back(*cache_->BeginWith(PromptOf(tokens), Blocks(kPromptBlocks)));
}

template <Eviction kEviction>
void OurCache<kEviction>::Undo() {
  for (const SequenceId id : admitted_) cache_->End(id);
  admitted_.clear();
}

template class OurCache<Eviction::kLru>;
template class OurCache<Eviction::kLearned>;

ListCache::ListCache(int64_t blocks) : pool_(blocks) {
  std::vector<BlockId> taken;
  pool_.Acquire(blocks, taken);
  pool_.Release(RandomOrder(blocks));
}

void ListCache::MakeKeys(Tokens32 tokens) {
  const BlockNames names = BlockNames::OfTokens(tokens, kBlockTokens);
  PrefixKey key = hasher_.Root({}, false);
  keys_.clear();
  for (int64_t i = 0; i < names.size(); ++i) {
    key = hasher_.Next(key, names[i]);
    keys_.push_back(key);
  }
}

int64_t ListCache::Find(Tokens32 tokens) {
  MakeKeys(tokens);
  blocks_.clear();
  for (const PrefixKey& key : keys_) {
    const BlockId* const block = pool_.Find(key);
    if (block == nullptr) break;
    blocks_.push_back(*block);
  }
  return std::ssize(blocks_);
}

int64_t ListCache::Serve(Tokens32 tokens) {
  const int64_t found = Find(tokens);
  for (const BlockId block : blocks_) pool_.Touch(block);
  PLIMSOLL_CHECK(pool_.Acquire(kPromptBlocks - found, blocks_));
  for (size_t i = static_cast<size_t>(found); i < keys_.size(); ++i) {
    pool_.SetKey(blocks_[i], keys_[i]);
  }
  std::reverse(blocks_.begin(), blocks_.end());
  pool_.Release(blocks_);
  return found;
}

void ListCache::Admit(Tokens32 tokens) {
  PLIMSOLL_CHECK(Find(tokens) == 0);
  PLIMSOLL_CHECK(pool_.Acquire(kPromptBlocks, admitted_));
}

void ListCache::Undo() {
  pool_.Release(admitted_);
  admitted_.clear();
}

TreeCache::TreeCache(int64_t blocks) : tree_(blocks, kBlockTokens.value()) {
  std::vector<BlockId> taken;
  tree_.Acquire(blocks, taken);
  tree_.Release(RandomOrder(blocks));
}

int64_t TreeCache::Find(Tokens32 tokens) {
  int64_t found = 0;
  tree_.Match(tokens, found);
  return found;
}

int64_t TreeCache::Serve(Tokens32 tokens) {
  int64_t found = 0;
  peers::RadixTreeCache::Node* node = tree_.Match(tokens, found);
  tree_.Hold(node);
  blocks_.clear();
  PLIMSOLL_CHECK(tree_.Acquire(kPromptBlocks - found, blocks_));
  tree_.Insert(node, tokens.subspan(static_cast<size_t>(found * kBlockTokens.value())), blocks_);
  tree_.LetGo(node);
  return found;
}

void TreeCache::Admit(Tokens32 tokens) {
  PLIMSOLL_CHECK(Find(tokens) == 0);
  PLIMSOLL_CHECK(tree_.Acquire(kPromptBlocks, admitted_));
}

void TreeCache::Undo() {
  tree_.Release(admitted_);
  admitted_.clear();
}

SortedCache::SortedCache(int64_t blocks) : pool_(blocks) {}

int64_t SortedCache::Serve(Tokens32) {
  blocks_.clear();
  PLIMSOLL_CHECK(pool_.Acquire(kPromptBlocks, blocks_));
  pool_.Keep(blocks_);
  return 0;
}

void SortedCache::Admit(Tokens32) {
  pool_.Evict(kPromptBlocks);
  PLIMSOLL_CHECK(pool_.Acquire(kPromptBlocks, admitted_));
}

void SortedCache::Undo() {
  pool_.Release(admitted_);
  admitted_.clear();
}

}  // namespace plimsoll
