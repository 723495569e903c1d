// Which of many numbered things is over next: leases, or waits.
//
// Invariants: a number has at most one deadline.
//
// Threads: none; the owner serialises calls. Cost: O(log n) to change, O(1) to ask for the
// earliest. Errors: none.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

class DeadlineQueue {
 public:
  using Entry = std::pair<Instant, int64_t>;  // when, and whose; ties go to the lower number

  void Set(int64_t number, Instant when);
  void Remove(int64_t number);  // harmless when it has none
  bool Has(int64_t number) const { return deadlines_.contains(number); }
  std::optional<Entry> Earliest() const;
  int64_t size() const { return std::ssize(order_); }

  // In order of time.
  auto begin() const { return order_.begin(); }
  auto end() const { return order_.end(); }

 private:
  absl::btree_set<Entry> order_;
  absl::flat_hash_map<int64_t, Instant> deadlines_;
};

}  // namespace plimsoll
