// Admission and its snapshot beside the obvious implementation of each. Every peer replays the same
// operations, made from a fixed seed; answers are compared before anything is timed.
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bench/churn.h"
#include "kvcache/admission/admission_controller.h"
#include "kvcache/base/check.h"

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

// The obvious way to show a snapshot to other threads.
class LockedSnapshot {
 public:
  void Publish(const AdmissionSnapshot& snapshot) {
    const std::scoped_lock lock(mutex_);
    snapshot_ = snapshot;
  }
  AdmissionSnapshot Read() const {
    const std::scoped_lock lock(mutex_);
    return snapshot_;
  }

 private:
  mutable std::mutex mutex_;
  AdmissionSnapshot snapshot_;
};

// All figures move together, so that half of two snapshots would show.
AdmissionSnapshot SnapshotNumber(int64_t n) {
  AdmissionSnapshot snapshot;
  snapshot.revision = n;
  snapshot.blocks.total = snapshot.blocks.free = snapshot.headroom = Blocks(n);
  snapshot.expired = n;
  return snapshot;
}
bool IsWhole(const AdmissionSnapshot& s) { return s == SnapshotNumber(s.revision); }

// Reads all the time until it goes, and sees only whole snapshots that grow. In cache lines of its
// own, or it would wait for what the writer has on its stack, and the writer for it.
template <class Read>
class alignas(128) Reader {
 public:
  explicit Reader(Read read)
      : thread_([this, read] {
          int64_t latest = 0;
          while (!stop_) {
            const AdmissionSnapshot snapshot = read();
            if (snapshot.revision < latest || !snapshot.blocks.Conserved()) wrong_ = true;
            latest = snapshot.revision;
          }
        }) {}
  ~Reader() {
    stop_ = true;
    thread_.join();
    PLIMSOLL_CHECK(!wrong_);
  }

 private:
  std::atomic<bool> stop_ = false, wrong_ = false;
  std::thread thread_;
};

template <class Published>
void BM_ReadSnapshot(benchmark::State& state) {
  std::thread([] {}).join();  // a mutex is not free in a program that has had threads
  Published published;
  published.Publish(SnapshotNumber(42));
  if (published.Read() != SnapshotNumber(42)) return state.SkipWithError("wrong answer");
  for (auto _ : state) benchmark::DoNotOptimize(published.Read());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ReadSnapshot<SnapshotPublisher>);
BENCHMARK(BM_ReadSnapshot<LockedSnapshot>);

// Nothing but publishing, alone or beside a reader that does nothing but read: the cache lines go
// to and fro, which is the bound.
template <class Published>
void BM_PublishSnapshot(benchmark::State& state) {
  Published published;
  const auto read = [&] { return published.Read(); };
  std::optional<Reader<decltype(read)>> reader;
  if (state.range(0) != 0) reader.emplace(read);
  int64_t n = 0;
  for (auto _ : state) published.Publish(SnapshotNumber(++n));
  if (!IsWhole(published.Read())) state.SkipWithError("wrong answer");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_PublishSnapshot<SnapshotPublisher>)->ArgName("readers")->Arg(0)->Arg(1);
BENCHMARK(BM_PublishSnapshot<LockedSnapshot>)->ArgName("readers")->Arg(0)->Arg(1);

void SpinFor(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) continue;
}

// A server that reserves and releases: alone, beside a reader that never rests, beside one that
// reads what nobody writes, which takes the same share of the processor and none of its lines, or
// beside one that reads a million times a second. On real time: to set a simulated clock waits
// until every store before is seen by all, as nothing in a server does.
void BM_AdmitBesideReader(benchmark::State& state) {
  const SystemClock clock;
  const auto cache = *KvCache::Create({.capacity = Blocks(100'000)});
  const auto admission = *AdmissionController::Create({.epoch = "bench"}, *cache, clock);
  const SnapshotPublisher idle;
  const bool of_idle = state.range(0) == 2;
  const SnapshotPublisher& read_one = of_idle ? idle : admission->published();
  const auto pause = std::chrono::nanoseconds(state.range(0) == 3 ? 1000 : 0);
  const auto read = [&, pause] {
    if (pause.count() != 0) SpinFor(pause);
    return read_one.Read();
  };
  std::optional<Reader<decltype(read)>> reader;
  if (state.range(0) != 0) reader.emplace(read);
  for (auto _ : state) {
    const auto answer =
        admission->Reserve({.prompt_tokens = Tokens(2048), .max_new_tokens = Tokens(0)});
    const auto* const held = answer.ok() ? std::get_if<Reservation>(&*answer) : nullptr;
    if (held == nullptr) return state.SkipWithError("wrong answer");
    benchmark::DoNotOptimize(admission->Release(held->id));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_AdmitBesideReader)->ArgName("reader")->DenseRange(0, 3);

}  // namespace
}  // namespace plimsoll
