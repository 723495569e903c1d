// After a restart of a ledger: who claims to hold what.
#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr size_t kLongestId = 128;

// What can be claimed was asked for like this, as far as the claim says.
ReservationRequest RequestOf(const ReservationClaim& claim) {
  return {.request_id = claim.request_id,
          .tenant = claim.tenant,
          .prompt_tokens = claim.prompt_tokens,
          .max_new_tokens = claim.max_new_tokens,
          .ttl = claim.ttl,
          .request_class = claim.request_class};
}

absl::Status NoRoomFor(const ReservationClaim& claim, const Verdict& verdict) {
  const std::string room =
      verdict.decision == Decision::kNever
          ? "at most " + std::to_string(verdict.largest_fit.value()) + " tokens fit an empty pool"
          : std::to_string(verdict.missing.value()) + " of its " +
                std::to_string(verdict.needed.value()) + " blocks are missing";
  return absl::ResourceExhaustedError("no room for the claim of " + Excerpt(claim.id) + ": " +
                                      room);
}

}  // namespace

void AdmissionController::State::NoteEarlierLife(Instant now) {
  const Instant until = started + options.default_ttl;
  if (options.learning == Learning::kWhenTold && now < until) learning_until = until;
}

absl::StatusOr<ReservationRecord*> AdmissionController::State::Reclaim(
    const ReservationClaim& claim, const ReservationRequest& request, Instant now) {
  const absl::StatusOr<int64_t> of_this_life = ParseReservationId(claim.id, options.epoch);
  if (of_this_life.ok()) return FindHeld(claim.id);
  if (!absl::IsFailedPrecondition(of_this_life.status())) return of_this_life.status();
  ReservationRecord* known = book.FindClaimed(claim.id);
  if (known == nullptr) {
    NoteEarlierLife(now);
    if (!learning_until) return of_this_life.status();
    known = book.FindRequest(request);
  }
  if (known != nullptr) {
    if (known->request.tenant != claim.tenant) return NoReservation(claim.id, "another tenant's");
    return FindHeld(ReservationIdOf(options.epoch, known->number));
  }
  // A life may have been told other classes and leases than the one before: that loses this claim.
  if (const absl::Status offered = ValidateNew(request); !offered.ok()) {
    return NoReservation(claim.id, std::string(offered.message()));
  }
  const Verdict verdict = DecideClaim(request);
  if (verdict.decision != Decision::kAdmitted) return NoRoomFor(claim, verdict);
  ReservationRecord& record = Grant(request, verdict.needed, now);
  tally.Decided(request.request_class, Decision::kAdmitted);
  book.NameClaimed(record, claim.id);
  return &record;
}

absl::StatusOr<Reservation> AdmissionController::Claim(const ReservationClaim& claim,
                                                       LeaseKeeper* keeper) {
  if (claim.id.size() > kLongestId) {
    return BadField("reservation_id", std::to_string(claim.id.size()) + " bytes",
                    "at most 128 bytes");
  }
  const ReservationRequest request = RequestOf(claim);
  PLIMSOLL_RETURN_IF_ERROR(state_->ValidateForm(request));
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  const absl::StatusOr<ReservationRecord*> found = state_->Reclaim(claim, request, now);
  if (found.ok()) {
    state_->SignOfLife(**found, now);
    state_->Attach(**found, keeper, now);
    if (!request.request_id.empty()) state_->ServeRepeats(**found, now);
  }
  state_->Settle(now);
  if (!found.ok()) return found.status();
  Reservation claimed = state_->View(**found, now);
  if (claimed.id != claim.id) claimed.claimed_id = claim.id;  // also where it is known by another
  return claimed;
}

}  // namespace plimsoll
