// Which of many numbered things is over next: leases, or waits.
//
// Invariants: a number has at most one deadline. Whoever owns the thing keeps its place, so that
// nothing is looked up to find it again, and each place is used with one number.
//
// Threads: none; the owner serialises calls. Cost: O(log n) to change, O(1) where what is set is
// over last of all, and to ask for the earliest. Errors: none.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/btree_set.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

class DeadlineQueue {
 public:
  using Entry = std::pair<Instant, int64_t>;  // when, and whose; ties go to the lower number
  using Place = std::optional<Instant>;       // of one thing: when it is over, if it is in here

  void Set(int64_t number, Place& place, Instant when);
  void Remove(int64_t number, Place& place);  // harmless when it is not in here
  // Whether it is in here as its place says; for checks.
  bool Holds(int64_t number, const Place& place) const {
    return place && order_.contains({*place, number});
  }
  std::optional<Entry> Earliest() const;
  int64_t size() const { return std::ssize(order_); }

  // In order of time.
  auto begin() const { return order_.begin(); }
  auto end() const { return order_.end(); }

 private:
  absl::btree_set<Entry> order_;
};

}  // namespace plimsoll
