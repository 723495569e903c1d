// Holders that were refused room to grow: who of them gets what comes back.
//
// Whoever came first does. The room that it still lacks is owed to it: newcomers, those who wait,
// and holders that came later do not get it, and the latter are told to yield, that is, to release
// and come back. A request that comes back keeps its first grant's number, so it is as senior as it
// was, and it stands before all newcomers. So the most senior request of all never yields, and is
// first wherever it waits: it ends, then the next one is the most senior, and so all end.
//
// What is owed lapses kOwedFor after the holder last asked, so one that gave up keeps nobody out.
//
// Invariants: a holder is in here at most once.
//
// Threads: none; the owner serialises calls. Cost: O(log n). Errors: none.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <unordered_map>

#include "kvcache/admission/deadline_queue.h"
#include "kvcache/base/units.h"

namespace plimsoll {

inline constexpr Duration kOwedFor = std::chrono::seconds(5);

inline constexpr int64_t kNoSeniority = std::numeric_limits<int64_t>::max();  // of newcomers

class StalledHolders {
 public:
  // It lacks so many blocks that are not its tenant's own.
  void Refused(int64_t number, int64_t seniority, Blocks lacks, Instant now);
  // It grew, ended, or asks no more; harmless where it was not refused.
  void Remove(int64_t number);
  bool Has(int64_t number) const { return owed_.contains(number); }

  // What is owed to the most senior one, as far as somebody of this seniority must leave it alone.
  Blocks OwedBefore(int64_t seniority) const;
  std::optional<DeadlineQueue::Entry> EarliestLapse() const { return lapses_.Earliest(); }
  bool empty() const { return owed_.empty(); }

 private:
  struct Owed {
    int64_t seniority;
    Blocks blocks;
    DeadlineQueue::Place lapse;
  };

  std::unordered_map<int64_t, Owed> owed_;   // by number
  std::map<int64_t, int64_t> by_seniority_;  // numbers
  DeadlineQueue lapses_;
};

}  // namespace plimsoll
