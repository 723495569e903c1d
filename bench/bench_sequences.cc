// What sequences cost beside growing: forks with their first write, drafts that are rejected, a
// step of a model with windows, swapping (the bookkeeping, without the copies), and telling events.
#include <benchmark/benchmark.h>

#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/pool/group_cache.h"
#include "kvcache/pool/kv_cache.h"
#include "kvcache/pool/swap_tier.h"

namespace plimsoll {
namespace {

constexpr Tokens kBlockTokens(16);
constexpr int64_t kPromptTokens = 2040;  // 127 full blocks, and one that is half full
constexpr int64_t kPromptBlocks = 128;

std::unique_ptr<KvCache> CacheOf(int64_t blocks, int64_t events = 0) {
  auto cache = KvCache::Create({.capacity = Blocks(blocks),
                                .block_tokens = kBlockTokens,
                                .eviction = Eviction::kLru,
                                .events = events});
  PLIMSOLL_CHECK(cache.ok(), cache.status());
  return *std::move(cache);
}

std::vector<int32_t> PromptNumber(int64_t number) {
  std::vector<int32_t> tokens(static_cast<size_t>(kPromptBlocks * kBlockTokens.value()));
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>(number * 7919 + static_cast<int64_t>(i));
  }
  return tokens;
}

// One more sample of a prompt: forked, its first token written, ended. One sample in two copies.
void BM_Fork(benchmark::State& state) {
  const auto cache = CacheOf(1000);
  const SequenceId parent = cache->Begin(Blocks(0));
  cache->Commit(*cache->PlanAppend(parent, Tokens(kPromptTokens)));
  int64_t copies = 0;
  for (auto _ : state) {
    PLIMSOLL_CHECK(cache->Promise(Blocks(1)));
    const SequenceId fork = cache->Fork(parent, Blocks(1));
    copies += cache->Commit(*cache->PlanAppend(fork, Tokens(1))) ? 1 : 0;
    cache->End(fork);
  }
  if (copies != state.iterations() || cache->counts().live != Blocks(kPromptBlocks)) {
    state.SkipWithError("wrong answer");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Fork);

// A step of a sequence that drafts four tokens, of which one is right: with slots that stay, or
// appended and taken back.
void BM_Draft(benchmark::State& state) {
  const bool takes_back = state.range(0) != 0;
  const auto cache = CacheOf(2 * kPromptBlocks);
  SequenceId id = cache->Begin(Blocks(0));
  Tokens length(0);
  for (auto _ : state) {
    if (length > Tokens(kPromptTokens)) {
      cache->End(id);
      id = cache->Begin(Blocks(0));
      length = Tokens(0);
    }
    length += Tokens(2);
    if (takes_back) {
      cache->Commit(*cache->PlanAppend(id, Tokens(5)));
      cache->Truncate(id, length);
    } else {
      cache->Commit(*cache->PlanAppend(id, Tokens(2), Tokens(3)));
    }
  }
  if (cache->Length(id) != length) state.SkipWithError("wrong answer");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Draft)->ArgName("takes_back")->Arg(0)->Arg(1);

// One token more for each of so many sequences, in a model with full attention and a window.
void BM_GrowGroups(benchmark::State& state) {
  const auto cache = *GroupCache::Create({.slab_bytes = Bytes(1 << 20),
                                          .slabs = state.range(0) * 16,
                                          .groups = {{Retention::All(), Bytes(1024)},
                                                     {Retention::Window(Tokens(512)), Bytes(5120)},
                                                     {Retention::State(), Bytes(1 << 16)}}});
  std::vector<SequenceId> sequences;
  int64_t length = kPromptTokens;
  for (auto _ : state) {
    if (length == kPromptTokens) {
      state.PauseTiming();
      for (const SequenceId id : sequences) cache->End(id);
      sequences.clear();
      for (int64_t i = 0; i < state.range(0); ++i) {
        sequences.push_back(*cache->Begin(Tokens(kPromptTokens)));
      }
      length = 0;
      state.ResumeTiming();
    }
    for (const SequenceId id : sequences) cache->Append(id, Tokens(1));
    ++length;
  }
  if (cache->Length(sequences.front()) != Tokens(length)) state.SkipWithError("wrong answer");
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_GrowGroups)->Arg(1)->Arg(256);

// Full attention, a window and a state: a prompt of 128 blocks that is found, of which the sequence
// then holds 128 and 32 and gets a copy of a state, or that it names. Slabs for so many prompts.
std::unique_ptr<GroupCache> SharingGroups(int64_t prompts) {
  return *GroupCache::Create({.slab_bytes = Bytes(1 << 20),
                              .slabs = prompts,
                              .step = Tokens(512),
                              .groups = {{Retention::All(), Bytes(1024)},
                                         {Retention::Window(Tokens(512)), Bytes(5120)},
                                         {Retention::State(), Bytes(1 << 16)}},
                              .sharing = GroupSharing{}});
}

void ServeGroups(GroupCache& cache, const std::vector<int32_t>& tokens) {
  const Tokens total(std::ssize(tokens));
  const SequenceId id =
      cache.BeginWith({"", BlockNames::OfTokens(tokens, kBlockTokens)}, total)->id;
  while (cache.Length(id) < total) {
    const auto first = static_cast<size_t>(cache.Length(id).value());
    cache.Append(id, Tokens(512));
    cache.Name(id, BlockNames::OfTokens(std::span(tokens).subspan(first, 512), kBlockTokens));
  }
  cache.End(id);
}

void BM_FindGroups(benchmark::State& state) {
  const auto cache = SharingGroups(state.range(0) * 2);
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < state.range(0); ++i) {
    prompts.push_back(PromptNumber(i));
    ServeGroups(*cache, prompts.back());
  }
  size_t next = 0;
  int64_t found = 0;
  for (auto _ : state) {
    next = (next + 37) % prompts.size();
    const BlockNames names = BlockNames::OfTokens(prompts[next], kBlockTokens);
    const auto start = cache->BeginWith({"", names}, Tokens(kPromptBlocks * 16));
    found += cache->Length(start->id) / kBlockTokens;
    cache->End(start->id);
  }
  if (found != state.iterations() * kPromptBlocks) state.SkipWithError("wrong answer");
  state.SetItemsProcessed(state.iterations() * kPromptBlocks);
}
BENCHMARK(BM_FindGroups)->Arg(10)->Arg(500);

// Prompts that nobody had before, in a cache that is full, so that each evicts what it takes.
void BM_NameGroups(benchmark::State& state) {
  const auto cache = SharingGroups(state.range(0));
  int64_t number = 0;
  for (; number < 3 * state.range(0); ++number) ServeGroups(*cache, PromptNumber(number));
  for (auto _ : state) ServeGroups(*cache, PromptNumber(number++));
  if (cache->pool().free_slabs() > 0 || cache->pool().counts(0).cached == Blocks(0)) {
    state.SkipWithError("wrong answer");
  }
  state.SetItemsProcessed(state.iterations() * kPromptBlocks);
}
BENCHMARK(BM_NameGroups)->Arg(10)->Arg(500);

// 128 blocks out to the host and back. None is named, so all are copied.
void BM_Swap(benchmark::State& state) {
  const auto cache = CacheOf(1000);
  auto arena = CreateHostArena(Bytes(1 << 20), Bytes(1 << 20));
  PLIMSOLL_CHECK(arena.ok(), arena.status());
  const auto tier = *SwapTier::Create(*cache, *std::move(arena), Bytes(4096), Blocks(256));
  const SequenceId id = cache->Begin(Blocks(0));
  cache->Commit(*cache->PlanAppend(id, Tokens(kPromptTokens)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(tier->SwapOut(id));
    benchmark::DoNotOptimize(tier->SwapIn(id, {}, Blocks(kPromptBlocks)));
  }
  if (tier->counts().copied_in != Blocks(state.iterations() * kPromptBlocks)) {
    state.SkipWithError("wrong answer");
  }
  state.SetItemsProcessed(state.iterations() * kPromptBlocks);
}
BENCHMARK(BM_Swap);

// Whole requests through a pool that is full of cached blocks, each storing and evicting 128
// blocks: without events, and with as many kept as the argument says.
void BM_ServeTelling(benchmark::State& state) {
  const auto cache = CacheOf(100'000, state.range(0));
  int64_t number = 0;
  const auto serve = [&] {
    const std::vector<int32_t> tokens = PromptNumber(number++);
    const BlockNames names = BlockNames::OfTokens(tokens, kBlockTokens);
    const SequenceId id = *cache->BeginWith({"", names}, Blocks(kPromptBlocks));
    cache->Commit(*cache->PlanAppend(id, kPromptBlocks * kBlockTokens));
    cache->Name(id, names);
    cache->End(id);
  };
  while (cache->counts().free >= Blocks(kPromptBlocks)) serve();
  const int64_t before = cache->LastEvent();
  for (auto _ : state) serve();
  const int64_t told = state.range(0) == 0 ? 0 : 2 * kPromptBlocks * state.iterations();
  if (cache->LastEvent() - before > told || cache->LastEvent() - before < told - kPromptBlocks) {
    state.SkipWithError("wrong answer");
  }
  state.SetItemsProcessed(state.iterations() * kPromptBlocks);
}
BENCHMARK(BM_ServeTelling)->ArgName("events")->Arg(0)->Arg(100'000);

void BM_EventSnapshot(benchmark::State& state) {
  const auto cache = CacheOf(100'000, 1);
  for (int64_t i = 0; i < 781; ++i) {
    const std::vector<int32_t> tokens = PromptNumber(i);
    const BlockNames names = BlockNames::OfTokens(tokens, kBlockTokens);
    const SequenceId id = *cache->BeginWith({"", names}, Blocks(kPromptBlocks));
    cache->Commit(*cache->PlanAppend(id, kPromptBlocks * kBlockTokens));
    cache->Name(id, names);
    cache->End(id);
  }
  for (auto _ : state) {
    const std::vector<BlockEvent> events = cache->EventSnapshot();
    if (events.size() != 782) state.SkipWithError("wrong answer");
  }
  state.SetItemsProcessed(state.iterations() * 781 * kPromptBlocks);
}
BENCHMARK(BM_EventSnapshot);

}  // namespace
}  // namespace plimsoll
