// Whether the server makes progress, not only whether it lives.
//
// It is ready while it does not drain, nobody has waited for room longer than a bound, the loop
// steps while sequences run, the device works, leases end when they are due, and the housekeeper
// ticks. What holds it up is said in words.
//
// Threads: Tick from the housekeeper; the rest from any. Cost: Check takes the admission lock for
// two O(1) questions; a tick costs a few words, and a Check once a second. Errors: none.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/loop/generation_loop.h"
#include "rpc/housekeeper.h"

namespace plimsoll {

struct HealthBounds {
  Duration oldest_wait = std::chrono::minutes(2);
  Duration lease_overdue = std::chrono::seconds(10);
  Duration loop_stall = std::chrono::minutes(1);  // a step may be a long prefill on a CPU
  Duration housekeeper_late = std::chrono::seconds(5);
};

struct HealthReport {
  bool ready = true;
  std::vector<std::string> problems;        // one clause each; empty while ready
  Duration oldest_wait = Duration::zero();  // zero where nobody waits
};

class HealthMonitor final : public Housekeeper::Watcher {
 public:
  // All that is given outlives it; `loop` is null in ledger mode.
  HealthMonitor(SharedAdmission& admission, const Clock& clock, GenerationLoop* loop,
                const HealthBounds& bounds = {});

  HealthReport Check() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Unavailable, and why, once nothing but a restart helps: the device failed.
  absl::Status Alive() const;

  // `tell` hears once a second, on the housekeeper's thread, whether the server is ready. Once this
  // has returned the one before is not called any more.
  void Tell(std::function<void(bool ready)> tell) ABSL_LOCKS_EXCLUDED(telling_);

  void Tick(const AdmissionSnapshot& now) override ABSL_LOCKS_EXCLUDED(mutex_, telling_);

 private:
  void NoteProgress(Instant real_now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SharedAdmission& admission_;
  const Clock& clock_;
  GenerationLoop* const loop_;
  const HealthBounds bounds_;
  mutable absl::Mutex mutex_;
  // Real time, as the housekeeper keeps it.
  Instant ticked_ ABSL_GUARDED_BY(mutex_);
  Instant stepped_ ABSL_GUARDED_BY(mutex_);  // or nothing ran
  int64_t steps_ ABSL_GUARDED_BY(mutex_) = -1;
  Instant told_;  // the housekeeper's own
  absl::Mutex telling_;
  std::function<void(bool)> tell_ ABSL_GUARDED_BY(telling_);
};

}  // namespace plimsoll
