// The prefix cache: looking prompts up, keeping them, and making room, for each policy and for the
// obvious implementation. Answers are compared before anything is timed.
#include <benchmark/benchmark.h>

#include <list>
#include <map>
#include <random>
#include <vector>

#include "kvcache/pool/kv_cache.h"

namespace plimsoll {
namespace {

constexpr int64_t kPromptBlocks = 128;
constexpr Tokens kBlockTokens(16);

// Prompts of 2,048 tokens; each has a number from which its tokens follow.
std::vector<int32_t> PromptOf(int64_t number) {
  std::mt19937 random(static_cast<uint32_t>(number));
  std::vector<int32_t> tokens(static_cast<size_t>(kPromptBlocks * kBlockTokens.value()));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 128000);
  return tokens;
}

std::vector<std::vector<int32_t>> Prompts(int64_t count) {
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < count; ++i) prompts.push_back(PromptOf(i));
  return prompts;
}

std::unique_ptr<KvCache> CacheOf(int64_t blocks, Eviction eviction) {
  return *KvCache::Create(
      {.capacity = Blocks(blocks), .block_tokens = kBlockTokens, .eviction = eviction});
}

// One request, from looking its prompt up to keeping it. Returns the blocks that it found.
int64_t Serve(KvCache& cache, const std::vector<int32_t>& tokens) {
  const Prompt prompt{.salt = {}, .names = BlockNames::OfTokens(tokens, kBlockTokens)};
  const SequenceId id = *cache.BeginWith(prompt, Blocks(kPromptBlocks));
  const int64_t found = cache.Found(id).value();
  if (found < kPromptBlocks) {
    cache.Commit(*cache.PlanAppend(id, (kPromptBlocks - found) * kBlockTokens));
    cache.Name(id, prompt.names.Subrange(found, kPromptBlocks - found));
  }
  cache.End(id);
  return found;
}

// LRU by maps of whole prefixes: exact and slow.
class MapCache {
 public:
  explicit MapCache(int64_t blocks) : capacity_(static_cast<size_t>(blocks)) {}

  int64_t Serve(const std::vector<int32_t>& tokens) {
    std::vector<std::vector<int32_t>> prefixes;
    for (int64_t i = 1; i <= kPromptBlocks; ++i) {
      prefixes.emplace_back(tokens.begin(), tokens.begin() + i * kBlockTokens.value());
    }
    int64_t found = 0;
    while (found < kPromptBlocks && where_.contains(prefixes[static_cast<size_t>(found)])) ++found;
    for (auto prefix = prefixes.rbegin(); prefix != prefixes.rend(); ++prefix) Touch(*prefix);
    for (; order_.size() > capacity_; order_.pop_front()) where_.erase(order_.front());
    return found;
  }

 private:
  using Prefix = std::vector<int32_t>;

  void Touch(const Prefix& prefix) {
    const auto old = where_.find(prefix);
    if (old != where_.end()) order_.erase(old->second);
    order_.push_back(prefix);
    where_[prefix] = std::prev(order_.end());
  }

  const size_t capacity_;
  std::list<Prefix> order_;
  std::map<Prefix, std::list<Prefix>::iterator> where_;
};

bool AgreesWithMaps() {
  const auto prompts = Prompts(8);
  const auto cache = CacheOf(4 * kPromptBlocks, Eviction::kLru);
  MapCache judge(4 * kPromptBlocks);
  std::mt19937 random(7);
  for (int i = 0; i < 50; ++i) {
    const auto& prompt = prompts[random() % prompts.size()];
    if (Serve(*cache, prompt) != judge.Serve(prompt)) return false;
  }
  return true;
}

// Every block of a prompt is there, and the prompts come in no order.
void BM_LookUpCached(benchmark::State& state) {
  if (!AgreesWithMaps()) return state.SkipWithError("wrong answer");
  const int64_t count = state.range(0) / kPromptBlocks;
  const auto prompts = Prompts(count);
  const auto cache = CacheOf(state.range(0), Eviction::kLru);
  for (const auto& prompt : prompts) Serve(*cache, prompt);
  std::mt19937 random(1);
  for (auto _ : state) {
    const auto& tokens = prompts[random() % prompts.size()];
    const PrefixFound found =
        cache->Find({.salt = {}, .names = BlockNames::OfTokens(tokens, kBlockTokens)});
    if (found.blocks != Blocks(kPromptBlocks)) return state.SkipWithError("not all found");
  }
  state.SetItemsProcessed(state.iterations() * kPromptBlocks);
}
BENCHMARK(BM_LookUpCached)->Arg(100'000)->Arg(400'000);

// A pool full of cached blocks: each request finds nothing and evicts 128.
template <Eviction eviction>
void BM_ServeAndEvict(benchmark::State& state) {
  if (!AgreesWithMaps()) return state.SkipWithError("wrong answer");
  const auto cache = CacheOf(state.range(0), eviction);
  const auto prompts = Prompts(state.range(0) / kPromptBlocks + 100);
  for (const auto& prompt : prompts) Serve(*cache, prompt);
  if (cache->counts().free >= Blocks(kPromptBlocks)) return state.SkipWithError("not full");
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(Serve(*cache, prompts[next]));
    next = (next + 1) % prompts.size();
  }
  state.SetItemsProcessed(state.iterations() * kPromptBlocks);
}
BENCHMARK(BM_ServeAndEvict<Eviction::kLru>)->Arg(100'000)->Arg(400'000);
BENCHMARK(BM_ServeAndEvict<Eviction::kFifo>)->Arg(100'000)->Arg(400'000);
BENCHMARK(BM_ServeAndEvict<Eviction::kLearned>)->Arg(100'000)->Arg(400'000);

// Only what an admission does: hold what is there, evict 128 blocks, promise them.
void BM_AdmitIntoFullPool(benchmark::State& state) {
  const auto cache = CacheOf(state.range(0), Eviction::kLru);
  const auto prompts = Prompts(state.range(0) / kPromptBlocks);
  for (const auto& prompt : prompts) Serve(*cache, prompt);
  const std::vector<int32_t> fresh = PromptOf(-1);
  const Prompt prompt{.salt = {}, .names = BlockNames::OfTokens(fresh, kBlockTokens)};
  size_t next = 0;
  for (auto _ : state) {
    const SequenceId id = *cache->BeginWith(prompt, Blocks(kPromptBlocks));
    state.PauseTiming();
    cache->End(id);
    Serve(*cache, prompts[next]);  // fills what was evicted
    next = (next + 1) % prompts.size();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kPromptBlocks);
}
BENCHMARK(BM_AdmitIntoFullPool)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace plimsoll
