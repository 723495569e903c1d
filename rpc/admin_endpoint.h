// AdminService: what this server is, how it is doing, and how large its pool is.
//
// Threads: gRPC's. Cost: a copy; ResizePool answers when the pool has its new size. Errors: those
// of the request, and of AdmissionController::Resize; Unimplemented where the pool has one size.
#pragma once

#include "plimsoll/v1/admin.grpc.pb.h"
#include "rpc/served.h"

namespace plimsoll {

class AdminEndpoint final : public v1::AdminService::CallbackService {
 public:
  explicit AdminEndpoint(const Served& served) : served_(served) {}

  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest*,
                                          v1::GetServerInfoResponse* out) override;
  grpc::ServerUnaryReactor* ResizePool(grpc::CallbackServerContext* context,
                                       const v1::ResizePoolRequest* in,
                                       v1::ResizePoolResponse* out) override;

 private:
  const Served& served_;
};

}  // namespace plimsoll
