#include "tests/fuzz/wire_choices.h"

#include <algorithm>
#include <array>

namespace plimsoll {
namespace {

constexpr size_t kMostIds = 12;
constexpr int64_t kMostTokens = 16 * 80;

}  // namespace

void WireChoices::Learn(const std::string& id) {
  if (std::find(ids_.begin(), ids_.end(), id) != ids_.end()) return;
  ids_.push_back(id);
  if (ids_.size() > kMostIds) ids_.pop_front();
}

std::string WireChoices::Id() {
  const int64_t kind = choices_.Below(16);
  if (kind < 12 && !ids_.empty()) {
    return ids_[static_cast<size_t>(choices_.Below(static_cast<int64_t>(ids_.size())))];
  }
  if (kind < 14) return "e0-" + std::to_string(choices_.Below(8));
  if (kind < 15) return "e1-" + std::to_string(choices_.Number(100));
  return std::string(choices_.Bytes());
}

std::string WireChoices::Tenant() {
  static constexpr std::array<const char*, 5> kTenants = {"", "a", "b", "kept", "capped"};
  return choices_.Of(kTenants);
}

google::protobuf::Duration WireChoices::Time() {
  google::protobuf::Duration time;
  if (choices_.OneIn(12)) {
    time.set_seconds(choices_.Number(1 << 20));
    time.set_nanos(static_cast<int32_t>(choices_.Number(1 << 20)));
  } else {
    time.set_seconds(choices_.Below(40));
  }
  return time;
}

v1::ReserveCapacityRequest WireChoices::Reserve() {
  static constexpr std::array<const char*, 5> kRequests = {"", "", "r1", "r2", "r3"};
  static constexpr std::array<const char*, 4> kClasses = {"", "watermark", "quantile", "no such"};
  v1::ReserveCapacityRequest reserve;
  reserve.set_request_id(choices_.Of(kRequests));
  reserve.set_tenant(Tenant());
  reserve.set_prompt_tokens(choices_.Number(kMostTokens / 2));
  if (choices_.OneIn(2)) reserve.set_max_new_tokens(choices_.Number(kMostTokens / 2));
  if (choices_.OneIn(3)) *reserve.mutable_ttl() = Time();
  if (choices_.OneIn(4)) *reserve.mutable_max_wait() = Time();
  reserve.set_validate_only(choices_.OneIn(10));
  if (choices_.OneIn(4)) reserve.set_priority(static_cast<int32_t>(choices_.Below(7)) - 3);
  if (choices_.OneIn(4)) reserve.set_request_class(choices_.Of(kClasses));
  if (choices_.OneIn(12)) reserve.set_resumes(Id());
  return Spoilt(reserve);
}

v1::ExtendReservationRequest WireChoices::Extend() {
  v1::ExtendReservationRequest extend;
  extend.set_reservation_id(Id());
  extend.set_total_tokens(choices_.Number(kMostTokens));
  return Spoilt(extend);
}

v1::ReleaseReservationRequest WireChoices::Release() {
  v1::ReleaseReservationRequest release;
  release.set_reservation_id(Id());
  if (choices_.OneIn(3)) release.set_used_tokens(choices_.Number(kMostTokens));
  return Spoilt(release);
}

v1::ReservationClaim WireChoices::Claim() {
  v1::ReservationClaim claim;
  claim.set_reservation_id(Id());
  claim.set_tenant(Tenant());
  claim.set_prompt_tokens(choices_.Number(kMostTokens / 2));
  if (choices_.OneIn(3)) claim.set_max_new_tokens(choices_.Number(kMostTokens / 2));
  if (choices_.OneIn(3)) *claim.mutable_ttl() = Time();
  if (choices_.OneIn(3)) claim.set_request_id("r1");
  if (choices_.OneIn(6)) claim.set_request_class("watermark");
  return claim;
}

v1::RenewReservationsRequest WireChoices::Renew() {
  v1::RenewReservationsRequest renew;
  for (int64_t i = choices_.Below(4); i > 0; --i) renew.add_reservation_ids(Id());
  for (int64_t i = choices_.Below(3); i > 0; --i) *renew.add_claims() = Claim();
  return Spoilt(renew);
}

v1::Operation WireChoices::Operation(uint64_t id) {
  v1::Operation operation;
  operation.set_id(id);
  switch (choices_.Below(6)) {
    case 0:
    case 1:
    case 2:
      *operation.mutable_reserve() = Reserve();
      break;
    case 3:
      *operation.mutable_extend() = Extend();
      break;
    case 4:
      *operation.mutable_release() = Release();
      break;
    default:
      break;  // an operation that says nothing
  }
  return operation;
}

}  // namespace plimsoll
