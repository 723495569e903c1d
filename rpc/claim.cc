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

// A sign of life for each, or why it is lost.
absl::Status RenewThese(AdmissionController& admission, const std::vector<std::string>& ids,
                        Instant now, v1::RenewReservationsResponse* out) {
  for (const std::string& id : ids) {
    const absl::StatusOr<Reservation> renewed = admission.Renew(id);
    if (renewed.ok()) {
      *out->add_reservations() = ToWire(*renewed, now);
    } else if (auto lost = LostBecause(renewed.status(), id)) {
      lost->revoked = admission.WasRevoked(id);
      *out->add_lost() = ToWire(*lost);
    } else {
      return renewed.status();
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMayTouchAll(AdmissionController& admission, const Caller& caller,
                              const std::vector<std::string>& ids,
                              const std::vector<ReservationClaim>& claims) {
  for (const std::string& id : ids) PLIMSOLL_RETURN_IF_ERROR(caller.CheckMayTouch(admission, id));
  for (const ReservationClaim& claim : claims) {
    std::string tenant = claim.tenant;
    PLIMSOLL_RETURN_IF_ERROR(caller.ActFor(tenant));
    PLIMSOLL_RETURN_IF_ERROR(caller.CheckMayTouch(admission, claim.id));
  }
  return absl::OkStatus();
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
    AdmissionController& admission, ReservationClaim claim, const Caller& caller,
    LeaseKeeper* keeper, google::protobuf::RepeatedPtrField<v1::LostReservation>* lost) {
  PLIMSOLL_RETURN_IF_ERROR(caller.ActFor(claim.tenant));
  PLIMSOLL_RETURN_IF_ERROR(caller.CheckMayTouch(admission, claim.id));
  absl::StatusOr<Reservation> claimed = admission.Claim(claim, keeper);
  if (claimed.ok()) return *std::move(claimed);
  std::optional<LostReservation> why = LostBecause(claimed.status(), claim.id);
  if (!why) return claimed.status();
  why->revoked = admission.WasRevoked(claim.id);
  *lost->Add() = ToWire(*why);
  return std::nullopt;
}

absl::Status RenewAll(SharedAdmission& shared, const Caller& caller, Instant now,
                      const v1::RenewReservationsRequest& in, v1::RenewReservationsResponse* out) {
  const absl::StatusOr<std::vector<std::string>> ids = ReservationIdsFrom(in);
  if (!ids.ok()) return ids.status();
  const auto claims = ClaimsFrom(in.claims(), kMaxIdsPerRenewal);
  if (!claims.ok()) return claims.status();
  return shared.With([&](AdmissionController& admission) -> absl::Status {
    PLIMSOLL_RETURN_IF_ERROR(CheckMayTouchAll(admission, caller, *ids, *claims));
    PLIMSOLL_RETURN_IF_ERROR(RenewThese(admission, *ids, now, out));
    for (const ReservationClaim& claim : *claims) {
      const auto claimed = Claim(admission, claim, caller, nullptr, out->mutable_lost());
      if (!claimed.ok()) return claimed.status();
      if (claimed->has_value()) *out->add_reservations() = ToWire(**claimed, now);
    }
    return absl::OkStatus();
  });
}

}  // namespace plimsoll
