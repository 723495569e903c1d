#include "rpc/capacity_endpoint.h"

#include <algorithm>
#include <string>
#include <vector>

#include "rpc/convert.h"
#include "rpc/convert_listing.h"

namespace plimsoll {
namespace {

constexpr Duration kLongestInterval = std::chrono::hours(1);

// A stream that ends at once.
class FailedWatch final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit FailedWatch(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerUnaryReactor* CapacityEndpoint::GetCapacity(grpc::CallbackServerContext* context,
                                                        const v1::GetCapacityRequest*,
                                                        v1::GetCapacityResponse* out) {
  *out->mutable_capacity() = ToWire(served_.Capacity());
  return Finished(context, absl::OkStatus());
}

absl::StatusOr<WatchTerms> CapacityEndpoint::TermsFrom(const v1::WatchCapacityRequest& in) const {
  Bounds bounds;
  WatchTerms terms{
      .min_interval = bounds.DurationIn("min_interval", in.min_interval(), kLongestInterval),
      .heartbeat =
          bounds.DurationIn("heartbeat_interval", in.heartbeat_interval(), kLongestInterval),
      .known_revision = bounds.CountIn("start_revision", in.start_revision())};
  if (bounds.TextIn("epoch", in.epoch(), 0, kMaxTextBytes) != served_.identity.epoch) {
    terms.known_revision = 0;
  }
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return terms;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* CapacityEndpoint::WatchCapacity(
    grpc::CallbackServerContext*, const grpc::ByteBuffer* in) {
  v1::WatchCapacityRequest request;
  grpc::ByteBuffer bytes(*in);  // parsing empties it
  if (!grpc::SerializationTraits<v1::WatchCapacityRequest>::Deserialize(&bytes, &request).ok()) {
    return new FailedWatch(absl::InvalidArgumentError("the message does not parse"));
  }
  const absl::StatusOr<WatchTerms> terms = TermsFrom(request);
  if (!terms.ok()) return new FailedWatch(terms.status());
  return CapacityWatch::Start(served_, crowd_, *terms);
}

grpc::ServerUnaryReactor* CapacityEndpoint::ListReservations(grpc::CallbackServerContext* context,
                                                             const v1::ListReservationsRequest* in,
                                                             v1::ListReservationsResponse* out) {
  return Finished(context, List(*in, out));
}

absl::Status CapacityEndpoint::List(const v1::ListReservationsRequest& in,
                                    v1::ListReservationsResponse* out) {
  Bounds bounds;
  const int64_t size = PageSizeIn(bounds, in.page_size());
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  const absl::StatusOr<HoldingFilter> filter = FilterFrom(in);
  if (!filter.ok()) return filter.status();
  const std::string question = QuestionOf(*filter, served_.identity.epoch);
  const absl::StatusOr<int64_t> after = PageTokenFrom(in.page_token(), question);
  if (!after.ok()) return after.status();
  const HoldingPage page = served_.admission.With([&](const AdmissionController& admission) {
    return admission.HoldingsAfter(*after, size, *filter);
  });
  for (const Holding& holding : page.holdings) *out->add_reservations() = ToWire(holding);
  if (page.next) out->set_next_page_token(PageTokenOf(*page.next, question));
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* CapacityEndpoint::ListTenants(grpc::CallbackServerContext* context,
                                                        const v1::ListTenantsRequest* in,
                                                        v1::ListTenantsResponse* out) {
  return Finished(context, List(*in, out));
}

absl::Status CapacityEndpoint::List(const v1::ListTenantsRequest& in,
                                    v1::ListTenantsResponse* out) {
  Bounds bounds;
  const int64_t size = PageSizeIn(bounds, in.page_size());
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  const absl::StatusOr<std::string> after = TenantTokenFrom(in.page_token());
  if (!after.ok()) return after.status();
  const std::vector<TenantUse> uses = served_.admission.With(
      [](const AdmissionController& admission) { return admission.Tenants(); });
  const auto departed = uses.end() - 1;
  auto next = uses.begin();
  if (!in.page_token().empty()) {
    next = std::upper_bound(
        next, departed, *after,
        [](const std::string& name, const TenantUse& use) { return name < use.tenant; });
  }
  while (next != departed && out->tenants_size() < size) *out->add_tenants() = ToWire(*next++);
  if (next != departed) {
    out->set_next_page_token(TenantTokenOf(std::prev(next)->tenant));
  } else {
    *out->add_tenants() = ToWire(*departed);
    out->mutable_tenants()->rbegin()->set_departed(true);
  }
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* CapacityEndpoint::PlanCapacity(grpc::CallbackServerContext* context,
                                                         const v1::PlanCapacityRequest* in,
                                                         v1::PlanCapacityResponse* out) {
  return Finished(context, Plan(*in, out));
}

absl::Status CapacityEndpoint::Plan(const v1::PlanCapacityRequest& in,
                                    v1::PlanCapacityResponse* out) {
  if (!served_.planner) return absl::UnimplementedError("this server does not plan");
  const absl::StatusOr<PlanQuery> query = FromWire(in);
  if (!query.ok()) return query.status();
  const absl::StatusOr<PlanAnswer> answer = served_.planner(*query);
  if (!answer.ok()) return answer.status();
  *out = ToWire(*answer);
  return absl::OkStatus();
}

}  // namespace plimsoll
