// The server's own thread: ends leases when they are due, verifies each published snapshot, and
// does small jobs for threads that must not do them.
//
// Jobs exist because a gRPC call may run another call's handler before it returns: whoever holds
// the admission lock, or steps the model, hands the reply over instead of sending it. Leases end,
// and watchers hear of changes, at most one tick late, whatever becomes of the time of day.
//
// Threads: Post, Watch and Unwatch from any. Jobs and watchers run one after another on the thread
// and must not block; a watcher may still be called once while Unwatch runs.
// Cost: idle, a tick reads one deadline and one snapshot. Errors: a snapshot that is not conserved
// is reported on standard error and counted; it stops nothing.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "kvcache/admission/shared_admission.h"
#include "kvcache/base/mutex.h"

namespace plimsoll {

class Housekeeper {
 public:
  static constexpr Duration kTick = std::chrono::milliseconds(20);

  // Called each tick, whether or not something changed.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void Tick(const AdmissionSnapshot& now) = 0;
  };

  // `admission` and `clock` outlive it.
  Housekeeper(SharedAdmission& admission, const Clock& clock);
  // Runs the jobs that are left, then stops.
  ~Housekeeper();

  void Post(std::function<void()> job) ABSL_LOCKS_EXCLUDED(mutex_);
  void Watch(std::shared_ptr<Watcher> watcher) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unwatch(const Watcher* watcher) ABSL_LOCKS_EXCLUDED(mutex_);

  int64_t violations() const { return violations_.load(); }

 private:
  void Run();
  bool RunJobs() ABSL_LOCKS_EXCLUDED(mutex_);  // false when it is time to stop
  void EndLeases();
  void Report();

  SharedAdmission& admission_;
  const Clock& clock_;
  Mutex mutex_;
  std::condition_variable_any wake_;  // a job came, or the end
  std::vector<std::function<void()>> jobs_ ABSL_GUARDED_BY(mutex_);
  std::map<const Watcher*, std::shared_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t verified_revision_ = -1;  // the thread's own
  std::atomic<int64_t> violations_{0};
  std::thread thread_;
};

}  // namespace plimsoll
