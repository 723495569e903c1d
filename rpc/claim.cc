#include "rpc/claim.h"

#include <string>
#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/convert.h"

namespace plimsoll {
namespace {

absl::StatusOr<ReservationClaim> ClaimFrom(const v1::ReservationClaim& in) {
  Bounds bounds;
  ReservationClaim claim{
      .id = bounds.TextIn("reservation_id", in.reservation_id(), 1, kMaxTextBytes),
      .tenant = bounds.TextIn("tenant", in.tenant(), 0, kMaxTextBytes),
      .prompt_tokens = bounds.TokensIn("prompt_tokens", in.prompt_tokens(), 1),
      .max_new_tokens = bounds.TokensIn("max_new_tokens", in.max_new_tokens(), 0),
      .ttl = bounds.DurationIn("ttl", in.ttl(), kLongestDuration),
      .request_id = bounds.TextIn("request_id", in.request_id(), 0, kMaxTextBytes),
      .request_class = bounds.TextIn("request_class", in.request_class(), 0, kMaxTextBytes)};
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return claim;
}

}  // namespace

v1::ReservationClaim ToWire(const ReservationClaim& claim) {
  v1::ReservationClaim out;
  out.set_reservation_id(claim.id);
  out.set_tenant(claim.tenant);
  out.set_prompt_tokens(claim.prompt_tokens.value());
  out.set_max_new_tokens(claim.max_new_tokens.value());
  *out.mutable_ttl() = ToWire(claim.ttl);
  out.set_request_id(claim.request_id);
  out.set_request_class(claim.request_class);
  return out;
}

absl::StatusOr<std::vector<ReservationClaim>> ClaimsFrom(
    const google::protobuf::RepeatedPtrField<v1::ReservationClaim>& in, int most) {
  Bounds bounds;
  bounds.NumberIn("number of claims", in.size(), 0, most);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  std::vector<ReservationClaim> claims;
  for (const v1::ReservationClaim& each : in) {
    absl::StatusOr<ReservationClaim> claim = ClaimFrom(each);
    if (!claim.ok()) {
      return Annotate(claim.status(), "claims[" + std::to_string(claims.size()) + "]");
    }
    claims.push_back(*std::move(claim));
  }
  return claims;
}

absl::StatusOr<std::optional<Reservation>> Claim(
    AdmissionController& admission, const ReservationClaim& claim, LeaseKeeper* keeper,
    google::protobuf::RepeatedPtrField<v1::LostReservation>* lost) {
  absl::StatusOr<Reservation> claimed = admission.Claim(claim, keeper);
  if (claimed.ok()) return *std::move(claimed);
  std::optional<LostReservation> why = LostBecause(claimed.status(), claim.id);
  if (!why) return claimed.status();
  why->revoked = admission.WasRevoked(claim.id);
  *lost->Add() = ToWire(*why);
  return std::nullopt;
}

}  // namespace plimsoll
