// Quotas and policies that change under those who hold and wait.
#include <string>
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

// Of all that is guaranteed, what is not this tenant's.
Blocks GuaranteedToOthers(const Quotas& quotas, const std::string& tenant) {
  Blocks others = quotas.tenants.contains(tenant) ? quotas.others.guaranteed : Blocks(0);
  for (const auto& [name, quota] : quotas.tenants) {
    if (name != tenant) others += quota.guaranteed;
  }
  return others;
}

}  // namespace

absl::Status AdmissionController::State::CheckHolders(const Quotas& quotas) const {
  absl::Status status;
  if (policies.all_promise_whole()) return status;
  const Blocks total = cache.counts().total;
  book.SeeAll([&](const ReservationRecord& record) {
    if (record.ended || record.its_class->promises_whole()) return;
    const Tokens most = record.terms.prompt_tokens + record.terms.max_new_tokens;
    const Blocks needed = BlocksForSequence(most, cache.block_tokens());
    const Blocks others = GuaranteedToOthers(quotas, record.request.tenant);
    if (needed + others <= total) return;
    status = absl::FailedPreconditionError(
        "quotas: reservation " + ReservationIdOf(options.epoch, record.number) + " may need " +
        std::to_string(needed.value()) + " blocks, and others would be guaranteed " +
        std::to_string(others.value()) + " of " + std::to_string(total.value()));
  });
  return status;
}

bool AdmissionController::State::InUse(const RequestClass& its) const {
  bool in_use = false;
  book.SeeAll([&](const ReservationRecord& record) {
    in_use = in_use || (!record.ended && record.its_class == &its);
  });
  queue.SeeAll(
      [&](const Waiter& waiter) { in_use = in_use || waiter.request.request_class == its.name(); });
  return in_use;
}

int64_t AdmissionController::State::WaitingInPart(
    const std::map<std::string, PolicyOptions>& classes) const {
  int64_t waiting = 0;
  queue.SeeAll([&](const Waiter& waiter) {
    const std::string& name = waiter.request.request_class;
    if (name.empty() || classes.contains(name)) return;
    waiting += policies.Find(name)->promises_whole() ? 0 : 1;
  });
  return waiting;
}

void AdmissionController::State::ReplacePolicies(PolicySet successor) {
  policies.Replace(std::move(successor), [this](const RequestClass& its) { return InUse(its); });
  // It was not counted while it was all.
  promised_whole = Blocks(0);
  book.SeeAll([&](const ReservationRecord& record) {
    if (record.ended || !record.its_class->promises_whole()) return;
    promised_whole += record.terms.blocks;
  });
}

void AdmissionController::State::ReplaceQuotas(const Quotas& quotas) {
  tenants.Replace(quotas, cache.available());
  queue.Repurse(tenants.purses(),
                [this](const std::string& tenant) { return tenants.RoomOf(tenant).purse; });
  first_since_quotas = book.NextNumber();
}

absl::Status AdmissionController::Reconfigure(const Quotas& quotas, const PolicyOptions& policy,
                                              const std::map<std::string, PolicyOptions>& classes) {
  State& state = *state_;
  const Instant now = state.clock.Now();
  state.EndWhatIsOver(now);
  PLIMSOLL_RETURN_IF_ERROR(state.tenants.Check(quotas));
  PLIMSOLL_RETURN_IF_ERROR(state.CheckHolders(quotas));
  const int64_t others = state.suspended + state.WaitingInPart(classes);
  absl::StatusOr<PolicySet> successor = state.policies.Successor(
      policy, classes, state.cache.counts().total, state.cache.block_tokens(), others);
  if (!successor.ok()) return successor.status();
  if (quotas != state.options.quotas) state.ReplaceQuotas(quotas);
  state.ReplacePolicies(*std::move(successor));
  if (!state.policies.all_promise_whole()) state.TellRoom();
  state.options.quotas = quotas;
  state.options.policy = policy;
  state.options.classes = classes;
  state.Settle(now);
  return absl::OkStatus();
}

}  // namespace plimsoll
