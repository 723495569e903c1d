// CapacityService: what the pool looks like, once or whenever it changes; who holds what; plans.
//
// Threads: gRPC's. Cost: GetCapacity takes no lock; a list takes the admission lock for the time of
// one page, of tenants for all of them. Errors: as the proto says.
#pragma once

#include "plimsoll/v1/capacity.grpc.pb.h"
#include "rpc/capacity_watch.h"
#include "rpc/served.h"

namespace plimsoll {

// WatchCapacity sends bytes that are serialised once; the other calls are as generated.
template <class Base>
using CapacityCalls = v1::CapacityService::WithCallbackMethod_GetCapacity<
    v1::CapacityService::WithCallbackMethod_ListReservations<
        v1::CapacityService::WithCallbackMethod_ListTenants<
            v1::CapacityService::WithCallbackMethod_PlanCapacity<Base>>>>;

class CapacityEndpoint final
    : public CapacityCalls<
          v1::CapacityService::WithRawCallbackMethod_WatchCapacity<v1::CapacityService::Service>> {
 public:
  explicit CapacityEndpoint(const Served& served) : served_(served), crowd_(served) {}

  grpc::ServerUnaryReactor* GetCapacity(grpc::CallbackServerContext* context,
                                        const v1::GetCapacityRequest* in,
                                        v1::GetCapacityResponse* out) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchCapacity(grpc::CallbackServerContext* context,
                                                            const grpc::ByteBuffer* in) override;
  grpc::ServerUnaryReactor* ListReservations(grpc::CallbackServerContext* context,
                                             const v1::ListReservationsRequest* in,
                                             v1::ListReservationsResponse* out) override;
  grpc::ServerUnaryReactor* ListTenants(grpc::CallbackServerContext* context,
                                        const v1::ListTenantsRequest* in,
                                        v1::ListTenantsResponse* out) override;
  grpc::ServerUnaryReactor* PlanCapacity(grpc::CallbackServerContext* context,
                                         const v1::PlanCapacityRequest* in,
                                         v1::PlanCapacityResponse* out) override;

 private:
  absl::StatusOr<WatchTerms> TermsFrom(const v1::WatchCapacityRequest& in) const;
  absl::Status List(const v1::ListReservationsRequest& in, v1::ListReservationsResponse* out);
  absl::Status List(const v1::ListTenantsRequest& in, v1::ListTenantsResponse* out);
  absl::Status Plan(const v1::PlanCapacityRequest& in, v1::PlanCapacityResponse* out);

  const Served& served_;
  WatchCrowd crowd_;
};

}  // namespace plimsoll
