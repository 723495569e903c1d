// What became of requests and leases since the start, counted where it is decided: the reasons of
// refusals, decisions by class of requests, how long callers queued, how leases ended.
//
// Classes are counted by name up to kClasses of them, which a server that is not told others while
// it runs never has; what comes after them counts together, as "other".
//
// Threads: one writer, who holds the admission lock; readers on any thread, who hold none. Cost: a
// store, and a look at the names before it where a request has a class. Errors: none.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kvcache/admission/reservation.h"
#include "kvcache/base/duration_histogram.h"

namespace plimsoll {

class AdmissionTally {
 public:
  static constexpr size_t kReasons = static_cast<size_t>(Reason::kTenantLimit) + 1;
  static constexpr size_t kClasses = 24;

  struct ClassCounts {
    std::string name;  // empty: of requests that name no class
    int64_t admitted, wait, never;
  };

  // A request of this class was answered, for good: readers never see a count go down.
  void Decided(std::string_view request_class, Decision decision) {
    Count(RowOf(request_class).counts[static_cast<size_t>(decision)]);
  }
  void Refused(Reason reason) { Count(refused_[static_cast<size_t>(reason)]); }
  // A caller left the queue, with an answer or without.
  void Queued(Duration wait) { waits_.Add(wait); }
  void Expired(bool confirmed) { Count(confirmed ? expired_silent_ : expired_unconfirmed_); }

  // Those that were asked for, in order of first requests; the first is that of no class.
  std::vector<ClassCounts> classes() const {
    std::vector<ClassCounts> all;
    const size_t rows = rows_.load(std::memory_order_acquire);
    for (size_t i = 0; i < rows; ++i) {
      const auto count = [&](Decision d) {
        return by_class_[i].counts[static_cast<size_t>(d)].load(std::memory_order_relaxed);
      };
      all.push_back({.name = by_class_[i].name,
                     .admitted = count(Decision::kAdmitted),
                     .wait = count(Decision::kWait),
                     .never = count(Decision::kNever)});
    }
    return all;
  }
  int64_t refused(Reason reason) const { return refused_[static_cast<size_t>(reason)].load(); }
  DurationHistogram::Counts waits() const { return waits_.Read(); }
  // Leases whose holder fell silent, and grants that nobody confirmed.
  int64_t expired_silent() const { return expired_silent_.load(); }
  int64_t expired_unconfirmed() const { return expired_unconfirmed_.load(); }

 private:
  // A name is written once, before readers are told that there is another row.
  struct ClassRow {
    std::string name;
    std::array<std::atomic<int64_t>, 3> counts{};  // by decision
  };
  static_assert(static_cast<size_t>(Decision::kNever) == 2);

  ClassRow& RowOf(std::string_view name) {
    const size_t rows = rows_.load(std::memory_order_relaxed);
    for (size_t i = 0; i < rows; ++i) {
      if (by_class_[i].name == name) return by_class_[i];
    }
    if (rows == by_class_.size()) return by_class_.back();
    by_class_[rows].name = rows + 1 == by_class_.size() ? "other" : std::string(name);
    rows_.store(rows + 1, std::memory_order_release);
    return by_class_[rows];
  }
  // One writes: a locked addition would wait until its last publication has reached the readers.
  static void Count(std::atomic<int64_t>& count) {
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  std::array<std::atomic<int64_t>, kReasons> refused_{};
  std::array<ClassRow, kClasses + 2> by_class_{};  // no class, the named ones, all others
  std::atomic<size_t> rows_ = 1;
  DurationHistogram waits_;
  std::atomic<int64_t> expired_silent_{0}, expired_unconfirmed_{0};
};

}  // namespace plimsoll
