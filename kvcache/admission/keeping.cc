// Keepers, who hold leases open, and what becomes of those leases.
#include "kvcache/admission/admission_state.h"

namespace plimsoll {

void AdmissionController::State::Attach(ReservationRecord& record, LeaseKeeper* keeper,
                                        Instant now) {
  if (keeper == nullptr || record.ended || record.stop_requested) return;
  if (record.keeper != keeper) {
    if (record.keeper != nullptr) record.keeper->Ended(record.number, EndCause::kTakenOver);
    record.keeper = keeper;
    keeper->Keeps(record.number);
  }
  record.kept = true;
  leases.Remove(record.number, record.lease);
  SignOfLife(record, now);
}

ReservationRecord* AdmissionController::State::FindKept(int64_t number, const LeaseKeeper& keeper) {
  ReservationRecord* const record = book.Find(number);
  return record != nullptr && record->keeper == &keeper ? record : nullptr;
}

absl::StatusOr<Reservation> AdmissionController::Keep(std::string_view id, LeaseKeeper& keeper) {
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  const absl::StatusOr<ReservationRecord*> found = state_->FindHeld(id);
  if (!found.ok()) return found.status();
  state_->Attach(**found, &keeper, now);
  state_->Settle(now);
  return state_->View(**found, now);
}

void AdmissionController::LetGo(int64_t number, const LeaseKeeper& keeper, Duration lease) {
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  ReservationRecord* const record = state_->FindKept(number, keeper);
  if (record != nullptr && record->kept) {
    record->kept = false;
    record->terms.expires = now + lease;
    record->terms.expire_time = state_->WallAt(now) + lease;
    if (!record->sequence) state_->leases.Set(number, record->lease, record->terms.expires);
  }
  state_->Settle(now);
}

void AdmissionController::Forsake(int64_t number, const LeaseKeeper& keeper) {
  ReservationRecord* const record = state_->FindKept(number, keeper);
  if (record == nullptr) return;
  record->keeper = nullptr;
  if (!record->kept) return;
  record->kept = false;
  state_->SignOfLife(*record, state_->clock.Now());
}

}  // namespace plimsoll
