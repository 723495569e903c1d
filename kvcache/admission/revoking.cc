// Taking a reservation away from its holder, on an operator's word.
#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"

namespace plimsoll {

absl::StatusOr<Revocation> AdmissionController::Revoke(std::string_view id) {
  State& state = *state_;
  const Instant now = state.clock.Now();
  state.EndWhatIsOver(now);
  const absl::StatusOr<int64_t> number = ParseReservationId(id, state.options.epoch);
  if (!number.ok()) return number.status();
  ReservationRecord* const record = state.book.Find(*number);
  if (record == nullptr) return NoReservation(id, {});
  if (record->ended) return NoReservation(id, record->revoked ? "it was revoked" : "it has ended");
  record->revoked = true;
  const Revocation revocation{.blocks = record->terms.blocks,
                              .stopping = record->sequence.has_value()};
  if (revocation.stopping) {
    record->stop_requested = true;
    ++state.stops_requested;
  } else {
    state.Finish(*record, now, EndCause::kExpired);
  }
  state.Settle(now);
  return revocation;
}

bool AdmissionController::WasRevoked(std::string_view id) const {
  const absl::StatusOr<int64_t> number = ParseReservationId(id, state_->options.epoch);
  const ReservationRecord* const record = number.ok() ? state_->book.Find(*number) : nullptr;
  return record != nullptr && record->revoked;
}

}  // namespace plimsoll
