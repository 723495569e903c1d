// Whether the server takes new requests. An operator may stop and resume that; the end of the
// server's life, or of its device, stops it for good.
//
// Threads: any. Cost: two locks; who waits in the queue is answered. Errors: as Resume says.
#pragma once

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/admission/shared_admission.h"

namespace plimsoll {

class Draining {
 public:
  // `admission` outlives it.
  explicit Draining(SharedAdmission& admission) : admission_(admission) {}

  // `tell` hears whether the server serves, at each change; it must not call back. Set it before
  // the first.
  void OnChange(std::function<void(bool serving)> tell) { tell_ = std::move(tell); }

  void Start() ABSL_LOCKS_EXCLUDED(mutex_);
  // `why` is what who wants to resume it is told.
  void StartForGood(const std::string& why) ABSL_LOCKS_EXCLUDED(mutex_);
  // FailedPrecondition once it drains for good.
  absl::Status Resume() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void SetLocked(bool draining) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SharedAdmission& admission_;
  std::function<void(bool)> tell_;
  absl::Mutex mutex_;
  std::string for_good_ ABSL_GUARDED_BY(mutex_);  // why; empty: it may resume
};

}  // namespace plimsoll
