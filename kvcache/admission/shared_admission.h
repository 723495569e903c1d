// One AdmissionController for many threads: a lock, a thread-safe door, nothing else.
//
// Use:
//   shared.With([&](AdmissionController& admission) { return admission.Reserve(request); });
//
// Threads: any. Readers use published() and tally(), which take no lock. Cost: one mutex.
// Errors: those of the call made.
#pragma once

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "kvcache/admission/admission_controller.h"
#include "kvcache/base/mutex.h"

namespace plimsoll {

class SharedAdmission {
 public:
  explicit SharedAdmission(std::unique_ptr<AdmissionController> controller)
      : controller_(std::move(controller)),
        published_(controller_->published()),
        tally_(controller_->tally()) {}

  // Runs `use(controller)` under the lock and returns what it returns.
  template <class Use>
  auto With(Use&& use) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    return std::forward<Use>(use)(*controller_);
  }

  const SnapshotPublisher& published() const { return published_; }
  const AdmissionTally& tally() const { return tally_; }

 private:
  Mutex mutex_;
  const std::unique_ptr<AdmissionController> controller_ ABSL_PT_GUARDED_BY(mutex_);
  const SnapshotPublisher& published_;
  const AdmissionTally& tally_;
};

}  // namespace plimsoll
