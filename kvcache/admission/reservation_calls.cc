// The calls that name a reservation: extend, renew, release, and its sequence.
#include <algorithm>
#include <optional>
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

Tokens MostOf(const ReservationRecord& record) {
  return record.terms.prompt_tokens + record.terms.max_new_tokens;
}

}  // namespace

absl::StatusOr<Answer> AdmissionController::Extend(std::string_view id, Tokens total_tokens) {
  if (total_tokens < Tokens(1) || total_tokens > Tokens(2 * kMaxTokens)) {
    return BadField("total_tokens", total_tokens.value(), "1 to " + std::to_string(2 * kMaxTokens));
  }
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  const absl::StatusOr<ReservationRecord*> found = state_->FindHeld(id);
  if (!found.ok()) return found.status();
  ReservationRecord& record = **found;
  Terms& terms = record.terms;
  const Tokens allowed = MostOf(record);
  if (record.suspended) return state_->ExtendSuspended(record, total_tokens, now);
  const Blocks wanted = BlocksForSequence(total_tokens, state_->cache.block_tokens());
  if (total_tokens > allowed || wanted > terms.blocks) {
    const Verdict verdict = state_->DecideExtension(record, total_tokens);
    if (verdict.decision != Decision::kAdmitted) {
      const Refusal refusal = state_->RefuseExtension(record, verdict, now);
      state_->Settle(now);
      return refusal;
    }
    state_->stalled.Remove(record.number);
    state_->PromiseMore(record, verdict.needed);
    if (total_tokens > allowed) {
      terms.max_new_tokens = total_tokens - terms.prompt_tokens;
    }
  }
  state_->NoteGrowth(record, total_tokens, now);
  state_->SignOfLife(record, now);
  state_->Settle(now);
  return state_->View(record, now);
}

absl::StatusOr<Reservation> AdmissionController::Renew(std::string_view id) {
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  const absl::StatusOr<ReservationRecord*> found = state_->FindHeld(id);
  if (absl::IsFailedPrecondition(found.status())) state_->NoteEarlierLife(now);
  if (found.ok()) state_->SignOfLife(**found, now);
  state_->Settle(now);
  if (!found.ok()) return found.status();
  return state_->View(**found, now);
}

absl::Status AdmissionController::Release(std::string_view id, std::optional<Tokens> used) {
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  const absl::StatusOr<int64_t> number = ParseReservationId(id, state_->options.epoch);
  if (!number.ok()) return number.status();
  ReservationRecord* const record = state_->book.Find(*number);
  if (record == nullptr) return NoReservation(id, {});
  if (record->sequence) {
    record->stop_requested = true;
    ++state_->stops_requested;
  } else if (!record->ended) {
    if (used) state_->NoteGrowth(*record, std::min(*used, MostOf(*record)), now);
    state_->Finish(*record, now, EndCause::kReleased);
  }
  state_->Settle(now);
  return absl::OkStatus();
}

absl::StatusOr<Reservation> AdmissionController::Get(std::string_view id) const {
  const absl::StatusOr<int64_t> number = ParseReservationId(id, state_->options.epoch);
  if (!number.ok()) return number.status();
  const ReservationRecord* const record = state_->book.Find(*number);
  if (record == nullptr) return NoReservation(id, {});
  if (record->ended) return NoReservation(id, record->revoked ? "it was revoked" : "it has ended");
  return state_->View(*record, state_->clock.Now());
}

absl::StatusOr<SequenceId> AdmissionController::BeginSequence(std::string_view id) {
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  const absl::StatusOr<ReservationRecord*> found = state_->FindHeld(id);
  if (!found.ok()) return found.status();
  ReservationRecord& record = **found;
  if (record.sequence) {
    return absl::FailedPreconditionError("a sequence runs on reservation " + std::string(id) +
                                         " already");
  }
  state_->SignOfLife(record, now);
  state_->leases.Remove(record.number, record.lease);
  record.by_hashes = record.prepared.has_value();
  record.sequence = record.prepared ? std::exchange(record.prepared, std::nullopt)
                                    : state_->cache.Begin(record.terms.blocks);
  state_->Settle(now);
  return *record.sequence;
}

void AdmissionController::EndSequence(std::string_view id) {
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  const absl::StatusOr<ReservationRecord*> found = state_->FindRunning(id);
  PLIMSOLL_CHECK(found.ok(), found.status().message());
  state_->Finish(**found, now, (*found)->revoked ? EndCause::kExpired : EndCause::kReleased);
  state_->Settle(now);
}

void AdmissionController::Name(std::string_view id, const BlockNames& names) {
  const absl::StatusOr<ReservationRecord*> found = state_->FindRunning(id);
  PLIMSOLL_CHECK(found.ok(), found.status().message());
  const Blocks before = state_->cache.available();
  state_->cache.Name(*(*found)->sequence, names);
  state_->CountChange(*(*found)->account, before);
  state_->Settle(state_->clock.Now());
}

void AdmissionController::NamePrefix(std::string_view id) {
  const absl::StatusOr<ReservationRecord*> found = state_->FindRunning(id);
  PLIMSOLL_CHECK(found.ok(), found.status().message());
  const ReservationRecord& record = **found;
  if (!record.by_hashes) return;
  const KvCache& cache = state_->cache;
  const BlockNames names = BlockNames::OfHashes(record.request.prefix_hashes);
  const int64_t named = cache.Named(*record.sequence)->value();
  const int64_t full = cache.Length(*record.sequence) / cache.block_tokens();
  const int64_t count = std::min(names.size(), full);
  if (count > named) Name(id, names.Subrange(named, count - named));
}

bool AdmissionController::StopRequested(std::string_view id) const {
  const absl::StatusOr<ReservationRecord*> found = state_->FindRunning(id);
  return found.ok() && (*found)->stop_requested;
}

int64_t AdmissionController::StopsRequested() const { return state_->stops_requested; }

}  // namespace plimsoll
