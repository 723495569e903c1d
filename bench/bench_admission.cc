// Admission and its snapshot beside the obvious implementation of each. Every peer replays the same
// operations, made from a fixed seed; answers are compared before anything is timed.
#include <benchmark/benchmark.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/churn.h"
#include "kvcache/admission/admission_controller.h"

namespace plimsoll {
namespace {

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
