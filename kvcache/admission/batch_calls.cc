// Several requests as one: all are admitted, or none.
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<BatchAnswer> AdmissionController::ReserveAll(
    std::span<const ReservationRequest> requests) {
  for (const ReservationRequest& request : requests) {
    PLIMSOLL_RETURN_IF_ERROR(state_->Validate(request));
  }
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  const int64_t first = state_->book.NextNumber();
  std::vector<Reservation> granted;
  const auto take_back = [&] {
    for (int64_t number = state_->book.NextNumber(); number-- > first;) {
      state_->Withdraw(*state_->book.Find(number));
    }
  };
  for (size_t i = 0; i < requests.size(); ++i) {
    absl::StatusOr<Answer> answer = state_->AnswerUntallied(requests[i], now);
    auto* const refusal = answer.ok() ? std::get_if<Refusal>(&*answer) : nullptr;
    if (answer.ok() && refusal == nullptr) {
      granted.push_back(std::get<Reservation>(*std::move(answer)));
      continue;
    }
    take_back();
    if (refusal != nullptr) state_->CountRefusal(requests[i], *refusal);
    state_->Settle(now);
    if (refusal == nullptr) return answer.status();
    return RefusedOne{.index = i, .refusal = *refusal};
  }
  state_->TallyGrants(first);
  state_->Settle(now);
  return granted;
}

// Finish for one that never was: nothing is learned from it, and its request id is free again.
void AdmissionController::State::Withdraw(ReservationRecord& record) {
  if (record.seniority != record.number) {
    const auto resumed = ParseReservationId(record.request.resumes, options.epoch);
    book.Find(*resumed)->gave_up = true;
  }
  remaining.Remove(record.number, record.ends);
  leases.Remove(record.number, record.lease);
  record.its_class->End(record.place, /*cut_off=*/true);
  const Blocks before = cache.available();
  if (record.prepared) {
    cache.End(*record.prepared);
  } else {
    cache.Forgo(record.terms.blocks);
  }
  TenantAccount& account = *record.account;
  tenants.GiveBack(account, cache.available() - before);  // who waits is as far as he was
  --counters.admitted;
  --account.use.admitted;
  --account.use.reservations;
  tenants.Note(account);
  record.ended = true;  // as far as what it is promised goes
  NotePromised(record, record.terms.blocks);
  book.Remove(record);
}

}  // namespace plimsoll
