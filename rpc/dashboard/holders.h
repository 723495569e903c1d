// Who holds the pool, summed up for people: by tenant, by age, and the oldest one by one.
//
// Threads: pure. Cost: O(holdings log holdings). Errors: none.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kvcache/admission/tenants.h"

namespace plimsoll {

// Some reservations together.
struct HeldSum {
  int64_t reservations = 0;
  Blocks blocks;
  Blocks unused;  // of these, promised and not filled
  Duration oldest = Duration::zero();

  void Add(const Holding& holding);
};

struct TenantSum {
  std::string tenant;
  HeldSum held;
};

struct HoldersSummary {
  static constexpr size_t kMostTenants = 10;
  static constexpr size_t kMostListed = 10;
  // Upper ends of the ages; the last sum is of those that are older.
  static constexpr std::array<Duration, 4> kAges = {
      std::chrono::seconds(10), std::chrono::minutes(1), std::chrono::minutes(10),
      std::chrono::hours(1)};

  std::vector<TenantSum> tenants;  // those that hold most blocks, most first
  TenantSum others;                // the rest of them together; its name says how many
  std::array<HeldSum, kAges.size() + 1> by_age;
  std::vector<Holding> oldest;  // oldest first
};

// `holdings` in order of their grants.
HoldersSummary Summarise(const std::vector<Holding>& holdings);

}  // namespace plimsoll
