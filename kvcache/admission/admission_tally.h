// What became of requests and leases since the start, counted where it is decided: the reasons of
// refusals, how long callers queued, how leases ended.
//
// Threads: one writer, who holds the admission lock; readers on any thread, who hold none. Cost: a
// relaxed addition. Errors: none.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "kvcache/admission/reservation.h"
#include "kvcache/base/duration_histogram.h"

namespace plimsoll {

class AdmissionTally {
 public:
  static constexpr size_t kReasons = static_cast<size_t>(Reason::kTenantLimit) + 1;

  void Refused(Reason reason) { Count(refused_[static_cast<size_t>(reason)]); }
  // A caller left the queue, with an answer or without.
  void Queued(Duration wait) { waits_.Add(wait); }
  void Expired(bool confirmed) { Count(confirmed ? expired_silent_ : expired_unconfirmed_); }

  int64_t refused(Reason reason) const { return refused_[static_cast<size_t>(reason)].load(); }
  DurationHistogram::Counts waits() const { return waits_.Read(); }
  // Leases whose holder fell silent, and grants that nobody confirmed.
  int64_t expired_silent() const { return expired_silent_.load(); }
  int64_t expired_unconfirmed() const { return expired_unconfirmed_.load(); }

 private:
  static void Count(std::atomic<int64_t>& count) { count.fetch_add(1, std::memory_order_relaxed); }

  std::array<std::atomic<int64_t>, kReasons> refused_{};
  DurationHistogram waits_;
  std::atomic<int64_t> expired_silent_{0}, expired_unconfirmed_{0};
};

}  // namespace plimsoll
