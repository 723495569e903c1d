// Who holds what, for people who look.
#include <algorithm>

#include "kvcache/admission/admission_state.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {

Blocks AdmissionController::State::UsedOf(const ReservationRecord& record) const {
  if (record.sequence) return Blocks(std::ssize(cache.Table(*record.sequence)));
  const Reservation& held = record.reservation;
  const Tokens reported = held.prompt_tokens + record.generated;
  return std::min(held.blocks, BlocksForSequence(reported, cache.block_tokens()));
}

std::vector<Holding> AdmissionController::HoldingsAfter(int64_t number, int64_t most) const {
  std::vector<const ReservationRecord*> held;
  for (const auto& [its_number, record] : state_->book) {
    if (!record.ended && its_number > number) held.push_back(&record);
  }
  const auto page = std::min(static_cast<size_t>(std::max<int64_t>(most, 0)), held.size());
  std::partial_sort(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(page), held.end(),
                    [](const auto* a, const auto* b) { return a->number < b->number; });
  held.resize(page);
  std::vector<Holding> holdings;
  const Instant now = state_->clock.Now();
  for (const ReservationRecord* record : held) {
    holdings.push_back({.id = record->reservation.id,
                        .number = record->number,
                        .tenant = record->request.tenant,
                        .age = now - record->granted,
                        .blocks = record->reservation.blocks,
                        .used = state_->UsedOf(*record),
                        .running = record->sequence.has_value()});
  }
  return holdings;
}

std::vector<TenantUse> AdmissionController::Tenants() const {
  std::vector<TenantUse> uses;
  for (const TenantAccount* account : state_->tenants.All()) uses.push_back(account->use);
  uses.push_back(state_->tenants.departed());
  return uses;
}

}  // namespace plimsoll
