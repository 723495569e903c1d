#include "rpc/dashboard/pool_history.h"

namespace plimsoll {

void PoolHistory::Tick(const AdmissionSnapshot& now) {
  TickAt(std::chrono::steady_clock::now(), now);
}

void PoolHistory::TickAt(Instant at, const AdmissionSnapshot& now) {
  absl::MutexLock lock(&mutex_);
  if (reported_ != Instant::min() && at - reported_ < RecentReports::kLeastApart) return;
  reported_ = at;
  CapacityReport report = identity_;
  report.snapshot = now;
  recent_.Add(at, report);
  if (samples_.empty() || at - samples_.back().at >= kEvery) {
    samples_.push_back({.at = at, .snapshot = now});
    while (at - samples_.front().at > kSpan) samples_.pop_front();
  }
  if (waits_.empty() || at - waits_.back().at >= kWaitsEvery) {
    waits_.push_back({.at = at, .counts = tally_.waits()});
    while (waits_.size() > 1 && at - waits_[1].at >= kWaitsSpan) waits_.pop_front();
  }
}

std::vector<TimedSnapshot> PoolHistory::Samples() const {
  absl::MutexLock lock(&mutex_);
  return {samples_.begin(), samples_.end()};
}

CapacityOutlook PoolHistory::Outlook() const {
  absl::MutexLock lock(&mutex_);
  return recent_.Outlook();
}

DurationHistogram::Counts PoolHistory::RecentWaits() const {
  DurationHistogram::Counts counts = tally_.waits();
  absl::MutexLock lock(&mutex_);
  if (waits_.empty()) return counts;
  const DurationHistogram::Counts& before = waits_.front().counts;
  for (size_t i = 0; i < counts.in_bucket.size(); ++i) counts.in_bucket[i] -= before.in_bucket[i];
  counts.sum -= before.sum;
  return counts;
}

}  // namespace plimsoll
