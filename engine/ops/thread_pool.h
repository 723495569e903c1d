// Threads that share out the index ranges of one loop at a time.
//
// The caller works too, so a pool of n starts n - 1 threads. A thread that runs out of work looks
// for more for a few microseconds before it sleeps: an operation of a decode step is that short.
// All threads flush denormals to zero while they work; the caller's mode is put back afterwards.
//
// Invariants: every index in [0, count) is handed out exactly once; ParallelFor returns after the
// last range is done, and what the ranges wrote is visible to the caller.
//
// Threads: one ParallelFor at a time, checked. Cost: about a microsecond when the threads are
// awake; allocates nothing. Errors: none; work must not throw.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace plimsoll {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // > 0, the caller included
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls work(begin, end) for ranges of at most `grain` indices that cover [0, count).
  template <class Work>
  void ParallelFor(int64_t count, int64_t grain, Work&& work) {
    using Plain = std::remove_reference_t<Work>;
    Run(
        count, grain,
        [](void* context, int64_t begin, int64_t end) {
          (*static_cast<Plain*>(context))(begin, end);
        },
        &work);
  }

 private:
  using Call = void (*)(void* context, int64_t begin, int64_t end);
  struct Loop {
    int64_t count = 0;
    int64_t grain = 1;
    Call call = nullptr;  // null: no loop is open
    void* context = nullptr;
  };

  void Run(int64_t count, int64_t grain, Call call, void* context);
  void Open(const Loop& loop);
  void CloseAndWait();
  void TakeRanges(const Loop& loop);
  void WorkerMain();
  void WaitForChange(int64_t seen);

  std::vector<std::thread> workers_;
  std::atomic<bool> running_{false};
  std::atomic<int64_t> next_{0};     // first index not yet handed out
  std::atomic<int64_t> changes_{0};  // loops opened, plus one for the end
  std::atomic<bool> stopping_{false};

  // The standard's mutex, which the thread sanitizer knows: all that the vector loops read and
  // write is handed over by it.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable idle_;
  Loop loop_;       // under mutex_
  int active_ = 0;  // under mutex_: workers inside the open loop
};

}  // namespace plimsoll
