// Who holds what, for people who look.
#include <algorithm>
#include <array>
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

constexpr int64_t kMostLookedAt = 1000;

constexpr std::array<std::pair<HoldingState, std::string_view>, 5> kStates = {{
    {HoldingState::kUnconfirmed, "unconfirmed"},
    {HoldingState::kHeld, "held"},
    {HoldingState::kRunning, "running"},
    {HoldingState::kSuspended, "suspended"},
    {HoldingState::kStopping, "stopping"},
}};

HoldingState StateOf(const ReservationRecord& record) {
  if (record.stop_requested) return HoldingState::kStopping;
  if (record.suspended) return HoldingState::kSuspended;
  if (record.sequence) return HoldingState::kRunning;
  return record.terms.confirmed ? HoldingState::kHeld : HoldingState::kUnconfirmed;
}

bool Meant(const HoldingFilter& filter, const ReservationRecord& record) {
  if (filter.tenant && *filter.tenant != record.request.tenant) return false;
  return !filter.state || *filter.state == StateOf(record);
}

}  // namespace

std::string_view NameOf(HoldingState state) { return kStates[static_cast<size_t>(state)].second; }

std::optional<HoldingState> HoldingStateFromName(std::string_view name) {
  for (const auto& [state, its_name] : kStates) {
    if (its_name == name) return state;
  }
  return std::nullopt;
}

Blocks AdmissionController::State::UsedOf(const ReservationRecord& record) const {
  if (record.sequence) return Blocks(std::ssize(cache.Table(*record.sequence)));
  const Terms& held = record.terms;
  const Tokens reported = held.prompt_tokens + record.generated;
  return std::min(held.blocks, BlocksForSequence(reported, cache.block_tokens()));
}

Holding AdmissionController::State::HoldingOf(const ReservationRecord& record, Instant now) const {
  Holding holding{.id = ReservationIdOf(options.epoch, record.number),
                  .tenant = record.request.tenant,
                  .state = StateOf(record),
                  .age = now - record.granted,
                  .remaining = std::nullopt,
                  .prompt_tokens = record.terms.prompt_tokens,
                  .max_new_tokens = record.terms.max_new_tokens,
                  .blocks = record.terms.blocks,
                  .used = UsedOf(record),
                  .may_stop = record.sequence && !record.suspended && !record.stop_requested &&
                              !record.its_class->promises_whole()};
  if (!record.sequence) {
    holding.remaining = std::max(record.terms.expires - now, Duration::zero());
  }
  return holding;
}

HoldingPage AdmissionController::HoldingsAfter(int64_t number, int64_t most,
                                               const HoldingFilter& filter) const {
  const Instant now = state_->clock.Now();
  HoldingPage page;
  int64_t looked_at = 0;
  int64_t last = number;
  state_->book.SeeHeldAfter(number, [&](const ReservationRecord& record) {
    if (std::ssize(page.holdings) >= most || looked_at == kMostLookedAt) {
      page.next = last;  // this one is left for the next page
      return false;
    }
    ++looked_at;
    last = record.number;
    if (Meant(filter, record)) page.holdings.push_back(state_->HoldingOf(record, now));
    return true;
  });
  return page;
}

std::vector<TenantUse> AdmissionController::Tenants() const {
  std::vector<TenantUse> uses;
  for (const TenantAccount* account : state_->tenants.All()) uses.push_back(account->use);
  uses.push_back(state_->tenants.departed());
  return uses;
}

}  // namespace plimsoll
