// CapacityService: what the pool looks like, once or whenever it changes.
//
// Threads: gRPC's. Cost: GetCapacity takes no lock. Errors: as the proto says.
#pragma once

#include "plimsoll/v1/capacity.grpc.pb.h"
#include "rpc/served.h"

namespace plimsoll {

class CapacityEndpoint final : public v1::CapacityService::CallbackService {
 public:
  explicit CapacityEndpoint(const Served& served) : served_(served) {}

  grpc::ServerUnaryReactor* GetCapacity(grpc::CallbackServerContext* context,
                                        const v1::GetCapacityRequest* in,
                                        v1::GetCapacityResponse* out) override;
  grpc::ServerWriteReactor<v1::WatchCapacityResponse>* WatchCapacity(
      grpc::CallbackServerContext* context, const v1::WatchCapacityRequest* in) override;

 private:
  const Served& served_;
};

}  // namespace plimsoll
