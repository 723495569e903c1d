// What holders claim after a restart: over the wire and back, and one claim answered.
//
// Threads: pure, but for Claim, which its caller runs under the admission lock. Cost: that of the
// call. Errors: InvalidArgument for a claim that no server could take.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/admission/admission_controller.h"
#include "plimsoll/v1/admission.pb.h"

namespace plimsoll {

v1::ReservationClaim ToWire(const ReservationClaim& claim);
// Each bounded; at most `most` of them.
absl::StatusOr<std::vector<ReservationClaim>> ClaimsFrom(
    const google::protobuf::RepeatedPtrField<v1::ReservationClaim>& in, int most);

// Nullopt where it is lost, which is then said in `lost`.
absl::StatusOr<std::optional<Reservation>> Claim(
    AdmissionController& admission, const ReservationClaim& claim, LeaseKeeper* keeper,
    google::protobuf::RepeatedPtrField<v1::LostReservation>* lost);

}  // namespace plimsoll
