#include "engine/ops/thread_pool.h"

#include <algorithm>

#include "engine/ops/flush_denormals.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

// Looks before sleeping: some tens of microseconds.
constexpr int kLooks = 4000;

}  // namespace

ThreadPool::ThreadPool(int threads) {
  PLIMSOLL_CHECK(threads > 0, threads);
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { WorkerMain(); });
}

ThreadPool::~ThreadPool() {
  PLIMSOLL_CHECK(!running_);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ++changes_;
    changed_.notify_all();
  }
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(int64_t count, int64_t grain, Call call, void* context) {
  PLIMSOLL_CHECK(count >= 0 && grain > 0, count, grain);
  PLIMSOLL_CHECK(!running_.exchange(true), "one loop at a time");
  const FlushDenormals flush;
  if (workers_.empty() || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) {
      call(context, begin, std::min(begin + grain, count));
    }
  } else {
    const Loop loop = {.count = count, .grain = grain, .call = call, .context = context};
    Open(loop);
    TakeRanges(loop);
    CloseAndWait();
  }
  running_ = false;
}

void ThreadPool::Open(const Loop& loop) {
  const std::lock_guard lock(mutex_);
  next_ = 0;
  loop_ = loop;
  ++changes_;
  changed_.notify_all();
}

// A worker that wakes after this finds no open loop and goes back to sleep, so nobody waits for it.
void ThreadPool::CloseAndWait() {
  std::unique_lock lock(mutex_);
  loop_ = Loop();
  idle_.wait(lock, [&] { return active_ == 0; });
}

void ThreadPool::TakeRanges(const Loop& loop) {
  for (;;) {
    const int64_t begin = next_.fetch_add(loop.grain, std::memory_order_relaxed);
    if (begin >= loop.count) return;
    loop.call(loop.context, begin, std::min(begin + loop.grain, loop.count));
  }
}

void ThreadPool::WaitForChange(int64_t seen) {
  for (int look = 0; look < kLooks; ++look) {
    if (changes_.load(std::memory_order_relaxed) != seen) return;
    PauseProcessor();
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return changes_ != seen; });
}

void ThreadPool::WorkerMain() {
  const FlushDenormals flush;
  for (int64_t seen = 0;;) {
    WaitForChange(seen);
    Loop loop;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      seen = changes_;
      loop = loop_;
      if (loop.call == nullptr) continue;
      ++active_;
    }
    TakeRanges(loop);
    const std::lock_guard lock(mutex_);
    if (--active_ == 0) idle_.notify_one();
  }
}

}  // namespace plimsoll
