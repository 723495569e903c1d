// Between messages and the words of admission, both ways and for both sides.
//
// What comes in is bounded here, before it becomes a unit: a field outside the range that its
// comment in proto/ gives is InvalidArgument naming the field, and an enum value that this build
// does not know is refused, not guessed.
//
// Threads: pure functions. Cost: a copy. Errors: InvalidArgument.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/admission/reservation.h"
#include "plimsoll/v1/admission.pb.h"
#include "plimsoll/v1/capacity.pb.h"
#include "rpc/bounds.h"
#include "rpc/capacity_report.h"
#include "rpc/client.h"

namespace plimsoll {

namespace wire = ::plimsoll::v1;

// Longest ttl, max_wait and min_interval that the wire carries.
inline constexpr Duration kLongestDuration = std::chrono::hours(24);
inline constexpr size_t kMaxTextBytes = 128;  // of request_id, tenant and reservation_id
inline constexpr int kMaxIdsPerRenewal = 1000;
inline constexpr int64_t kMaxPrefixHashes = 8192;  // of a prompt of 128 Ki tokens, in blocks of 16

google::protobuf::Duration ToWire(Duration duration);
google::protobuf::Timestamp ToWire(WallTime time);

wire::ReserveCapacityRequest ToWire(const ReservationRequest& request);
// What it asks for; its request_id is taken out of it.
absl::StatusOr<ReservationRequest> FromWire(wire::ReserveCapacityRequest& in);
absl::StatusOr<Duration> MaxWaitFrom(const wire::ReserveCapacityRequest& in);
absl::StatusOr<Tokens> TotalTokensFrom(const wire::ExtendReservationRequest& in);
// What it reports as used; nullopt where it says nothing.
absl::StatusOr<std::optional<Tokens>> UsedTokensFrom(const wire::ReleaseReservationRequest& in);
absl::StatusOr<std::string> ReservationIdFrom(std::string id);
absl::StatusOr<std::vector<std::string>> ReservationIdsFrom(
    const wire::RenewReservationsRequest& in);

// `now` is the sender's clock; what is left of the lease goes over the wire, not the instant.
wire::Reservation ToWire(const Reservation& reservation, Instant now);
void ToWire(const Reservation& reservation, Instant now, wire::Reservation& out);
absl::StatusOr<Reservation> FromWire(const wire::Reservation& in, Instant now);

wire::Rejection ToWire(const Refusal& refusal);
absl::StatusOr<Refusal> FromWire(const wire::Rejection& in);

// How a reservation was lost; nullopt for a status that says something else.
std::optional<LostReservation> LostBecause(const absl::Status& status, const std::string& id);
wire::LostReservation ToWire(const LostReservation& lost);
absl::StatusOr<Renewal> FromWire(const wire::RenewReservationsResponse& in, Instant now);

wire::Capacity ToWire(const CapacityReport& report);
absl::StatusOr<CapacityReport> FromWire(const wire::Capacity& in);

// ReserveCapacityResponse and ExtendReservationResponse have the same outcome.
template <class Response>
void SetOutcome(const Answer& answer, Instant now, Response* out) {
  if (const auto* reservation = std::get_if<Reservation>(&answer)) {
    ToWire(*reservation, now, *out->mutable_reservation());
  } else {
    *out->mutable_rejection() = ToWire(std::get<Refusal>(answer));
  }
}

template <class Response>
absl::StatusOr<Answer> OutcomeFrom(const Response& in, Instant now) {
  if (in.has_reservation()) return FromWire(in.reservation(), now);
  if (in.has_rejection()) return FromWire(in.rejection());
  return absl::InvalidArgumentError("outcome: want a reservation or a rejection");
}

}  // namespace plimsoll
