// What the page shows of the past: ten minutes of the pool, a sample a second, the outlook of the
// last minute, and how long requests queued in the last five.
//
// Threads: Tick from the housekeeper; the rest from any. Cost: a tick that takes a sample copies
// some 300 bytes. Errors: none.
#pragma once

#include <deque>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/admission/admission_tally.h"
#include "rpc/capacity_outlook.h"
#include "rpc/housekeeper.h"

namespace plimsoll {

class PoolHistory final : public Housekeeper::Watcher {
 public:
  static constexpr Duration kEvery = std::chrono::seconds(1);
  static constexpr Duration kSpan = std::chrono::minutes(10);
  static constexpr Duration kWaitsSpan = std::chrono::minutes(5);
  static constexpr Duration kWaitsEvery = std::chrono::seconds(10);

  // `identity` says whose reports these are; its snapshot is not used. `tally` outlives this.
  PoolHistory(const CapacityReport& identity, const AdmissionTally& tally)
      : identity_(identity), tally_(tally) {}

  void Tick(const AdmissionSnapshot& now) override;
  // The same at a moment that does not go back.
  void TickAt(Instant at, const AdmissionSnapshot& now) ABSL_LOCKS_EXCLUDED(mutex_);

  std::vector<TimedSnapshot> Samples() const ABSL_LOCKS_EXCLUDED(mutex_);
  CapacityOutlook Outlook() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Of waits that ended in the last five minutes or a little more.
  DurationHistogram::Counts RecentWaits() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct TimedWaits {
    Instant at;
    DurationHistogram::Counts counts;
  };

  const CapacityReport identity_;
  const AdmissionTally& tally_;
  mutable absl::Mutex mutex_;
  RecentReports recent_ ABSL_GUARDED_BY(mutex_);
  Instant reported_ ABSL_GUARDED_BY(mutex_) = Instant::min();
  std::deque<TimedSnapshot> samples_ ABSL_GUARDED_BY(mutex_);
  std::deque<TimedWaits> waits_ ABSL_GUARDED_BY(mutex_);  // oldest first
};

}  // namespace plimsoll
