// The prefix cache beside those of others: looking prompts up, admitting into a full pool, serving
// whole requests; and what only ours is asked: hashing, and growing a sequence token by token.
// Answers are compared before anything is timed.
#include <benchmark/benchmark.h>

#include <list>
#include <map>
#include <random>
#include <vector>

#include "bench/caches.h"

namespace plimsoll {
namespace {

using Lru = OurCache<Eviction::kLru>;
using Learned = OurCache<Eviction::kLearned>;

// Prompts of 2,048 tokens; each has a number from which its tokens follow.
std::vector<int32_t> PromptNumber(int64_t number) {
  std::mt19937 random(static_cast<uint32_t>(number));
  std::vector<int32_t> tokens(static_cast<size_t>(kPromptBlocks * kBlockTokens.value()));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 128000);
  return tokens;
}

std::vector<std::vector<int32_t>> Prompts(int64_t first, int64_t count) {
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < count; ++i) prompts.push_back(PromptNumber(first + i));
  return prompts;
}

// LRU by maps of whole prefixes: exact and slow.
class MapCache {
 public:
  explicit MapCache(int64_t blocks) : capacity_(static_cast<size_t>(blocks)) {}

  int64_t Serve(Tokens32 tokens) {
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

// Every cache finds what an exact LRU finds. `shared` is how many blocks all prompts begin with.
template <class Cache>
bool AgreesWithMaps(int64_t capacity, int64_t shared) {
  auto prompts = Prompts(0, 8);
  for (auto& prompt : prompts) {
    std::copy_n(prompts[0].begin(), shared * kBlockTokens.value(), prompt.begin());
  }
  Cache cache(capacity * kPromptBlocks);
  MapCache judge(capacity * kPromptBlocks);
  std::mt19937 random(7);
  for (int i = 0; i < 50; ++i) {
    const auto& prompt = prompts[random() % prompts.size()];
    if (cache.Serve(prompt) != judge.Serve(prompt)) return false;
  }
  return true;
}

// Prompts that share, and all fit; prompts that share nothing and some of which must go, where it
// is the oldest that go.
template <class Cache>
bool IsRight() {
  return AgreesWithMaps<Cache>(8, 40) &&
         (std::is_same_v<Cache, Learned> || AgreesWithMaps<Cache>(4, 0));
}

// Every block of a prompt is there, and the prompts come in no order.
template <class Cache>
void BM_LookUp(benchmark::State& state) {
  if (!IsRight<Cache>()) return state.SkipWithError("wrong answer");
  const auto prompts = Prompts(0, state.range(0) / kPromptBlocks);
  Cache cache(state.range(0));
  for (const auto& prompt : prompts) cache.Serve(prompt);
  std::mt19937 random(1);
  for (auto _ : state) {
    if (cache.Find(prompts[random() % prompts.size()]) != kPromptBlocks) {
      return state.SkipWithError("not all found");
    }
  }
  state.SetItemsProcessed(state.iterations() * kPromptBlocks);
}
BENCHMARK(BM_LookUp<Lru>)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(BM_LookUp<ListCache>)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(BM_LookUp<TreeCache>)->Arg(100'000)->Arg(1'000'000);

// An admission into a pool full of cached blocks, all of which others could find: it looks a prompt
// up, finds nothing, evicts 128 blocks and has them.
template <class Cache>
void Admit(benchmark::State& state) {
  constexpr int64_t kAtATime = 16;  // so that pausing the clock costs nothing beside it
  const int64_t count = state.range(0) / kPromptBlocks;
  const auto prompts = Prompts(0, count);
  const auto others = Prompts(count, kAtATime);
  Cache cache(count * kPromptBlocks);
  for (const auto& prompt : prompts) cache.Serve(prompt);
  size_t next = 0;
  for (auto _ : state) {
    for (const auto& other : others) cache.Admit(other);
    state.PauseTiming();
    cache.Undo();
    for (int64_t i = 0; i < kAtATime; ++i) cache.Serve(prompts[next++ % prompts.size()]);
    state.ResumeTiming();
  }
  state.counters["us_each"] = benchmark::Counter(
      static_cast<double>(kAtATime) * 1e-6,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

template <class Cache>
void BM_Admit(benchmark::State& state) {
  if (!IsRight<Cache>()) return state.SkipWithError("wrong answer");
  Admit<Cache>(state);
}
BENCHMARK(BM_Admit<Lru>)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(BM_Admit<Learned>)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(BM_Admit<ListCache>)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(BM_Admit<TreeCache>)->Arg(100'000)->Arg(1'000'000);
// It looks nothing up, so there is no answer to compare: its blocks are checked in bench_pool.
BENCHMARK(Admit<SortedCache>)->Name("BM_Admit<SortedCache>")->Arg(100'000)->Arg(1'000'000);

// Whole requests, each of which finds nothing and evicts 128 blocks.
template <class Cache>
void BM_Serve(benchmark::State& state) {
  if (!IsRight<Cache>()) return state.SkipWithError("wrong answer");
  Cache cache(state.range(0));
  const auto prompts = Prompts(0, state.range(0) / kPromptBlocks + 100);
  for (const auto& prompt : prompts) cache.Serve(prompt);
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cache.Serve(prompts[next]));
    next = (next + 1) % prompts.size();
  }
  state.SetItemsProcessed(state.iterations() * kPromptBlocks);
}
BENCHMARK(BM_Serve<Lru>)->Arg(100'000);
BENCHMARK(BM_Serve<Learned>)->Arg(100'000);
BENCHMARK(BM_Serve<ListCache>)->Arg(100'000);
BENCHMARK(BM_Serve<TreeCache>)->Arg(100'000);

// Only the keys of a prompt; each waits for the one before.
void BM_Hash(benchmark::State& state) {
  const auto tokens = PromptNumber(0);
  const BlockNames names = BlockNames::OfTokens(tokens, kBlockTokens);
  const PrefixHasher hasher(1);
  for (auto _ : state) {
    PrefixKey key = hasher.Root({}, false);
    for (int64_t i = 0; i < names.size(); ++i) key = hasher.Next(key, names[i]);
    benchmark::DoNotOptimize(key);
  }
  state.SetBytesProcessed(state.iterations() * std::ssize(tokens) * 4);
}
BENCHMARK(BM_Hash);

// So many running sequences each get a token in turn, from 1 to 2,048, with their blocks taken as
// they need them.
void BM_Grow(benchmark::State& state) {
  constexpr int64_t kTokens = 2048;
  const auto cache = *KvCache::Create({.capacity = Blocks(state.range(0) * kPromptBlocks)});
  std::vector<SequenceId> sequences;
  int64_t length = kTokens;
  for (auto _ : state) {
    if (length == kTokens) {
      state.PauseTiming();
      for (const SequenceId id : sequences) cache->End(id);
      sequences.clear();
      for (int64_t i = 0; i < state.range(0); ++i) sequences.push_back(cache->Begin(Blocks(0)));
      length = 0;
      state.ResumeTiming();
    }
    for (const SequenceId id : sequences) cache->Commit(*cache->PlanAppend(id, Tokens(1)));
    ++length;
  }
  if (cache->Length(sequences.front()) != Tokens(length)) state.SkipWithError("wrong answer");
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Grow)->Arg(1)->Arg(256);

}  // namespace
}  // namespace plimsoll
