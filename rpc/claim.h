// What holders claim after a restart: over the wire and back, and one claim answered; and
// RenewReservations, which takes claims beside signs of life.
//
// Threads: pure, but for Claim, which its caller runs under the admission lock, and RenewAll, which
// takes it once. Cost: that of the calls. Errors: InvalidArgument for a claim that no server could
// take; PermissionDenied where the caller acts for another tenant, and then nothing is renewed.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/admission/shared_admission.h"
#include "plimsoll/v1/admission.pb.h"
#include "rpc/caller.h"

namespace plimsoll {

v1::ReservationClaim ToWire(const ReservationClaim& claim);
// Each bounded; at most `most` of them.
absl::StatusOr<std::vector<ReservationClaim>> ClaimsFrom(
    const google::protobuf::RepeatedPtrField<v1::ReservationClaim>& in, int most);

// Nullopt where it is lost, which is then said in `lost`.
absl::StatusOr<std::optional<Reservation>> Claim(
    AdmissionController& admission, ReservationClaim claim, const Caller& caller,
    LeaseKeeper* keeper, google::protobuf::RepeatedPtrField<v1::LostReservation>* lost);

absl::Status RenewAll(SharedAdmission& admission, const Caller& caller, Instant now,
                      const v1::RenewReservationsRequest& in, v1::RenewReservationsResponse* out);

}  // namespace plimsoll
