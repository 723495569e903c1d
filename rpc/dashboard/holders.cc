#include "rpc/dashboard/holders.h"

#include <algorithm>
#include <map>
#include <utility>

namespace plimsoll {

void HeldSum::Add(const Holding& holding) {
  ++reservations;
  blocks += holding.blocks;
  unused += holding.blocks - std::min(holding.used, holding.blocks);
  oldest = std::max(oldest, holding.age);
}

HoldersSummary Summarise(const std::vector<Holding>& holdings) {
  HoldersSummary summary;
  std::map<std::string, HeldSum> by_tenant;
  for (const Holding& holding : holdings) {
    by_tenant[holding.tenant].Add(holding);
    const auto age =
        std::upper_bound(HoldersSummary::kAges.begin(), HoldersSummary::kAges.end(), holding.age);
    summary.by_age[static_cast<size_t>(age - HoldersSummary::kAges.begin())].Add(holding);
  }
  for (auto& [tenant, held] : by_tenant) summary.tenants.push_back({tenant, held});
  std::stable_sort(
      summary.tenants.begin(), summary.tenants.end(),
      [](const TenantSum& a, const TenantSum& b) { return a.held.blocks > b.held.blocks; });
  if (summary.tenants.size() > HoldersSummary::kMostTenants) {
    const size_t rest = summary.tenants.size() - HoldersSummary::kMostTenants;
    summary.others.tenant = std::to_string(rest) + " others";
    for (const Holding& holding : holdings) {
      const bool told = std::any_of(
          summary.tenants.begin(), summary.tenants.begin() + HoldersSummary::kMostTenants,
          [&](const TenantSum& of) { return of.tenant == holding.tenant; });
      if (!told) summary.others.held.Add(holding);
    }
    summary.tenants.resize(HoldersSummary::kMostTenants);
  }
  const size_t listed = std::min(holdings.size(), HoldersSummary::kMostListed);
  summary.oldest.assign(holdings.begin(), holdings.begin() + static_cast<std::ptrdiff_t>(listed));
  return summary;
}

}  // namespace plimsoll
