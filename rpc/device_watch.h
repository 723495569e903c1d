// What a server does once its loop has given up the device: it says so in one line, takes nothing
// new for good, and takes back what it promised, so that holders hear of it and go elsewhere. It
// lives on, neither ready nor alive to its probes (rpc/health.h): only a restart helps.
//
// Threads: the housekeeper's; Stop from any. Cost: two locks a tick; then some microseconds for
// each reservation. Errors: none.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "rpc/housekeeper.h"
#include "rpc/log.h"
#include "rpc/served.h"

namespace plimsoll {

class DeviceWatch final : public Housekeeper::Watcher {
 public:
  // Both live until Stop has returned; `log` may be null.
  DeviceWatch(const Served& served, Log* log) : served_(served), log_(log) {}

  void Tick(const AdmissionSnapshot& now) override ABSL_LOCKS_EXCLUDED(mutex_);
  // From now on it does nothing.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Say(const absl::Status& why);
  void RevokeSome();

  const Served& served_;
  Log* const log_;
  absl::Mutex mutex_;  // held through a tick
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool said_ = false;  // the housekeeper's own
};

}  // namespace plimsoll
