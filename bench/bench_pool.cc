// The pool and admission beside the obvious implementation of each. Every peer replays the same
// operations, made from a fixed seed; answers are compared before anything is timed.
#include <benchmark/benchmark.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kvcache/admission/admission_controller.h"
#include "kvcache/pool/block_pool.h"

namespace plimsoll {
namespace {

// Take `n` blocks for somebody, or give back what somebody has.
struct Operation {
  bool acquire;
  int64_t who;
  int64_t n;
};

// Sequences that come and go in no order and want a little more than there is, so that the pool
// often runs dry.
std::vector<Operation> Churn(int64_t operations) {
  std::mt19937 random(42);
  std::vector<Operation> out;
  std::vector<int64_t> alive;
  for (int64_t i = 0; i < operations; ++i) {
    if (alive.size() > 70 || (!alive.empty() && random() % 2 == 0)) {
      std::swap(alive[random() % alive.size()], alive.back());
      out.push_back({.acquire = false, .who = alive.back(), .n = 0});
      alive.pop_back();
    } else {
      out.push_back({.acquire = true, .who = i, .n = 1 + static_cast<int64_t>(random() % 31)});
      alive.push_back(i);
    }
  }
  return out;
}

class FlatPool {
 public:
  explicit FlatPool(int64_t blocks) : pool_(*BlockPool::Create(Blocks(blocks))) {}
  bool Acquire(int64_t n, std::vector<BlockId>& out) { return pool_.TryAcquire(Blocks(n), out); }
  void Release(const std::vector<BlockId>& ids) { pool_.Release(ids); }

 private:
  BlockPool pool_;
};

class SetPool {
 public:
  explicit SetPool(int64_t blocks) {
    for (int32_t i = 0; i < blocks; ++i) free_.insert(BlockId(i));
  }
  bool Acquire(int64_t n, std::vector<BlockId>& out) {
    if (n > std::ssize(free_)) return false;
    for (int64_t i = 0; i < n; ++i) out.push_back(free_.extract(free_.begin()).value());
    return true;
  }
  void Release(const std::vector<BlockId>& ids) { free_.insert(ids.begin(), ids.end()); }

 private:
  std::set<BlockId> free_;
};

// How many acquisitions got their blocks: the same for every right pool.
template <class Pool>
int64_t ReplayPool(Pool& pool, const std::vector<Operation>& operations,
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

template <class Pool>
void BM_Pool(benchmark::State& state) {
  constexpr int64_t kBlocks = 512;
  const std::vector<Operation> operations = Churn(state.range(0));
  std::vector<std::vector<BlockId>> held(operations.size());
  for (const Operation& operation : operations) {
    held[static_cast<size_t>(operation.who)].reserve(32);  // no peer pays for growing these
  }
  Pool pool(kBlocks);
  SetPool judge(kBlocks);
  if (ReplayPool(pool, operations, held) != ReplayPool(judge, operations, held)) {
    return state.SkipWithError("wrong answer");
  }
  for (auto _ : state) benchmark::DoNotOptimize(ReplayPool(pool, operations, held));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Pool<FlatPool>)->Arg(1 << 10)->Arg(1 << 16);
BENCHMARK(BM_Pool<SetPool>)->Arg(1 << 10)->Arg(1 << 16);

// Promises kept by AdmissionController, with leases, epochs and a published snapshot.
class Controller {
 public:
  explicit Controller(int64_t blocks)
      : cache_(*KvCache::Create({.capacity = Blocks(blocks)})),
        admission_(*AdmissionController::Create({.epoch = "bench"}, *cache_, clock_)) {}

  std::string Reserve(int64_t blocks) {
    clock_.Advance(std::chrono::microseconds(10));
    const absl::StatusOr<Answer> answer =
        admission_->Reserve({.prompt_tokens = Tokens(16 * blocks), .max_new_tokens = Tokens(0)});
    const Reservation* const held = std::get_if<Reservation>(&*answer);
    return held == nullptr ? std::string() : held->id;
  }
  void Release(const std::string& id) { benchmark::DoNotOptimize(admission_->Release(id)); }

 private:
  SimulatedClock clock_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<AdmissionController> admission_;
};

// Promises kept in a map and a counter: no leases, no repeats, no queue, no snapshot.
class Counter {
 public:
  explicit Counter(int64_t blocks) : free_(blocks) {}

  std::string Reserve(int64_t blocks) {
    if (blocks > free_) return {};
    free_ -= blocks;
    std::string id = "bench-" + std::to_string(++next_);
    held_.emplace(id, blocks);
    return id;
  }
  void Release(const std::string& id) {
    const auto found = held_.find(id);
    free_ += found->second;
    held_.erase(found);
  }

 private:
  int64_t free_;
  int64_t next_ = 0;
  std::map<std::string, int64_t> held_;
};

template <class Admission>
int64_t ReplayAdmission(Admission& admission, const std::vector<Operation>& operations,
                        std::vector<std::string>& held) {
  int64_t granted = 0;
  const auto release = [&](std::string& id) {
    if (!id.empty()) admission.Release(id);
    id.clear();
  };
  for (const Operation& operation : operations) {
    std::string& id = held[static_cast<size_t>(operation.who)];
    if (operation.acquire) {
      id = admission.Reserve(operation.n);
      granted += id.empty() ? 0 : 1;
    } else {
      release(id);
    }
  }
  for (std::string& id : held) release(id);
  return granted;
}

template <class Admission>
void BM_Admission(benchmark::State& state) {
  constexpr int64_t kBlocks = 512;
  const std::vector<Operation> operations = Churn(state.range(0));
  std::vector<std::string> held(operations.size());
  Admission admission(kBlocks);
  Counter judge(kBlocks);
  if (ReplayAdmission(admission, operations, held) != ReplayAdmission(judge, operations, held)) {
    return state.SkipWithError("wrong answer");
  }
  for (auto _ : state) benchmark::DoNotOptimize(ReplayAdmission(admission, operations, held));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Admission<Controller>)->Arg(1 << 10)->Arg(1 << 16);
BENCHMARK(BM_Admission<Counter>)->Arg(1 << 10)->Arg(1 << 16);

}  // namespace
}  // namespace plimsoll
