// Between CapacityService's lists and plans and values, both ways and for both sides.
//
// A page's token says where the next one goes on, of which server life and of which question; one
// of another is refused.
//
// Threads: pure functions. Cost: a copy. Errors: InvalidArgument naming the field.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "plimsoll/v1/capacity.pb.h"
#include "rpc/bounds.h"
#include "rpc/listing.h"
#include "rpc/plan_query.h"

namespace plimsoll {

inline constexpr int64_t kMostOnPage = 1000;
inline constexpr int64_t kUsuallyOnPage = 100;
inline constexpr size_t kMostConfigBytes = 262144;
inline constexpr int kMostContexts = 64;

int64_t PageSizeIn(Bounds& bounds, int32_t page_size);

v1::ListReservationsRequest ToWire(const PageWanted& page, const HoldingFilter& filter);
absl::StatusOr<HoldingFilter> FilterFrom(const v1::ListReservationsRequest& in);

// `question` is what the pages are of.
std::string PageTokenOf(int64_t after, const std::string& question);
// Zero for an empty token.
absl::StatusOr<int64_t> PageTokenFrom(const std::string& token, const std::string& question);
// What identifies a list of reservations.
std::string QuestionOf(const HoldingFilter& filter, const std::string& epoch);

// A page of tenants goes on after a name.
std::string TenantTokenOf(const std::string& name);
absl::StatusOr<std::string> TenantTokenFrom(const std::string& token);

v1::HeldReservation ToWire(const Holding& holding);
absl::StatusOr<ReservationPage> FromWire(const v1::ListReservationsResponse& in);

v1::TenantUsage ToWire(const TenantUse& use);
absl::StatusOr<TenantPage> FromWire(const v1::ListTenantsResponse& in);

v1::PlanCapacityRequest ToWire(const PlanQuery& query);
absl::StatusOr<PlanQuery> FromWire(const v1::PlanCapacityRequest& in);
v1::PlanCapacityResponse ToWire(const PlanAnswer& answer);
absl::StatusOr<PlanAnswer> FromWire(const v1::PlanCapacityResponse& in);

}  // namespace plimsoll
