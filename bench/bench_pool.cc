// The block pool beside the pools of others. All replay the same operations, made from a fixed
// seed; answers are compared before anything is timed.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <set>
#include <span>
#include <vector>

#include "bench/churn.h"
#include "bench/peers/intrusive_list_pool.h"
#include "bench/peers/sorted_vector_pool.h"
#include "kvcache/pool/block_pool.h"

namespace plimsoll {
namespace {

template <int64_t kChunk>
class OurPool {
 public:
  explicit OurPool(int64_t blocks) : pool_(*BlockPool::Create(Blocks(blocks), Blocks(kChunk))) {}
  bool Acquire(int64_t n, std::vector<BlockId>& out) { return pool_.TryAcquire(Blocks(n), out); }
  void Release(std::span<const BlockId> ids) { pool_.Release(ids); }

 private:
  BlockPool pool_;
};

using FlatPool = OurPool<0>;
using LowestPool = OurPool<256>;  // the lowest block first

// What comes to mind first: the free blocks in a balanced tree.
class SetPool {
 public:
  explicit SetPool(int64_t blocks) {
    for (int32_t i = 0; i < blocks; ++i) free_.insert(free_.end(), BlockId(i));
  }
  bool Acquire(int64_t n, std::vector<BlockId>& out) {
    if (n > std::ssize(free_)) return false;
    for (int64_t i = 0; i < n; ++i) out.push_back(free_.extract(free_.begin()).value());
    return true;
  }
  void Release(std::span<const BlockId> ids) { free_.insert(ids.begin(), ids.end()); }

 private:
  std::set<BlockId> free_;
};

// How many acquisitions got their blocks: the same for every right pool.
template <class Pool>
int64_t Replay(Pool& pool, const std::vector<Operation>& operations,
               std::vector<std::vector<BlockId>>& held) {
  int64_t granted = 0;
  for (const Operation& operation : operations) {
    std::vector<BlockId>& blocks = held[static_cast<size_t>(operation.who)];
    if (operation.acquire) {
      granted += pool.Acquire(operation.n, blocks) ? 1 : 0;
    } else {
      pool.Release(blocks);
      blocks.clear();
    }
  }
  for (std::vector<BlockId>& blocks : held) {
    pool.Release(blocks);
    blocks.clear();
  }
  return granted;
}

// Small pools and small sequences: everything is in the nearest cache, instructions are the bound.
template <class Pool>
void BM_ComeAndGo(benchmark::State& state) {
  constexpr int64_t kBlocks = 512;
  const std::vector<Operation> operations = Churn(state.range(0));
  std::vector<std::vector<BlockId>> held(operations.size());
  for (const Operation& operation : operations) {
    held[static_cast<size_t>(operation.who)].reserve(32);  // no peer pays for growing these
  }
  Pool pool(kBlocks);
  SetPool judge(kBlocks);
  if (Replay(pool, operations, held) != Replay(judge, operations, held)) {
    return state.SkipWithError("wrong answer");
  }
  for (auto _ : state) benchmark::DoNotOptimize(Replay(pool, operations, held));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_ComeAndGo<FlatPool>)->Arg(1 << 14);
BENCHMARK(BM_ComeAndGo<LowestPool>)->Arg(1 << 14);
BENCHMARK(BM_ComeAndGo<peers::IntrusiveListPool>)->Arg(1 << 14);
BENCHMARK(BM_ComeAndGo<peers::SortedVectorPool>)->Arg(1 << 14);
BENCHMARK(BM_ComeAndGo<SetPool>)->Arg(1 << 14);

constexpr int64_t kBulk = 128;

// A pool whose blocks are free in random order, and that order reversed.
template <class Pool>
struct Shuffled {
  explicit Shuffled(int64_t blocks) : pool(blocks) {
    pool.Acquire(blocks, order);
    std::shuffle(order.begin(), order.end(), std::mt19937(3));
    pool.Release(order);
    taken.reserve(order.size());
  }
  // Takes `calls` times kBulk blocks.
  bool Acquire(int64_t calls) {
    bool all = true;
    for (int64_t i = 0; i < calls; ++i) all &= pool.Acquire(kBulk, taken);
    return all;
  }
  // Gives them back in another order than they came.
  void Release(std::span<const BlockId> ids) {
    for (; !ids.empty(); ids = ids.subspan(kBulk)) pool.Release(ids.first(kBulk));
    taken.clear();
  }
  // Every block at most once, and none that is not there.
  bool TookEachOnce() const {
    std::vector<bool> seen(order.size(), false);
    for (const BlockId id : taken) {
      const auto i = static_cast<size_t>(id.index());
      if (i >= seen.size() || seen[i]) return false;
      seen[i] = true;
    }
    return true;
  }

  Pool pool;
  std::vector<BlockId> order;
  std::vector<BlockId> taken;
};

// Bulk calls so many at a time that timing costs nothing beside them; pools that need a pass over
// all their blocks for each call get fewer calls.
template <class Pool>
int64_t CallsFor(int64_t blocks) {
  const bool slow = std::is_same_v<Pool, peers::SortedVectorPool>;
  return slow ? 16 : blocks / kBulk;
}

template <class Pool>
void BM_Acquire(benchmark::State& state) {
  const int64_t calls = CallsFor<Pool>(state.range(0));
  Shuffled<Pool> blocks(state.range(0));
  if (!blocks.Acquire(calls) || !blocks.TookEachOnce()) return state.SkipWithError("wrong answer");
  for (auto _ : state) {
    state.PauseTiming();
    std::shuffle(blocks.taken.begin(), blocks.taken.end(), std::mt19937(4));
    blocks.Release(blocks.taken);
    state.ResumeTiming();
    blocks.Acquire(calls);
  }
  state.SetItemsProcessed(state.iterations() * calls * kBulk);
}

template <class Pool>
void BM_Release(benchmark::State& state) {
  const int64_t calls = CallsFor<Pool>(state.range(0));
  Shuffled<Pool> blocks(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    if (!blocks.Acquire(calls) || !blocks.TookEachOnce()) {
      return state.SkipWithError("wrong answer");
    }
    std::shuffle(blocks.taken.begin(), blocks.taken.end(), std::mt19937(4));
    state.ResumeTiming();
    blocks.Release(blocks.taken);
  }
  state.SetItemsProcessed(state.iterations() * calls * kBulk);
}

BENCHMARK(BM_Acquire<FlatPool>)->Arg(100'000)->Arg(4'000'000);
BENCHMARK(BM_Acquire<LowestPool>)->Arg(100'000)->Arg(4'000'000);
BENCHMARK(BM_Acquire<peers::IntrusiveListPool>)->Arg(100'000)->Arg(4'000'000);
BENCHMARK(BM_Acquire<peers::SortedVectorPool>)->Arg(100'000)->Arg(4'000'000);
BENCHMARK(BM_Release<FlatPool>)->Arg(100'000)->Arg(4'000'000);
BENCHMARK(BM_Release<LowestPool>)->Arg(100'000)->Arg(4'000'000);
BENCHMARK(BM_Release<peers::IntrusiveListPool>)->Arg(100'000)->Arg(4'000'000);
BENCHMARK(BM_Release<peers::SortedVectorPool>)->Arg(100'000)->Arg(4'000'000);

}  // namespace
}  // namespace plimsoll
