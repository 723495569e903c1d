// Work that other threads leave for one thread to do.
//
// Threads: Post from any; Run from one, on which all work runs, in the order posted.
// Cost: one lock for each. Errors: none.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

class Inbox {
 public:
  using Task = std::function<void()>;

  void Post(Task task) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    tasks_.push_back(std::move(task));
  }

  // Sleeps until there is work or `timeout` is over, and does what is there.
  void Run(Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_) {
    for (const Task& task : Take(timeout)) task();
  }

 private:
  std::vector<Task> Take(Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(
                                +[](std::vector<Task>* tasks) { return !tasks->empty(); }, &tasks_),
                            absl::FromChrono(timeout));
    return std::exchange(tasks_, {});
  }

  absl::Mutex mutex_;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace plimsoll
