// AdminService: what this server is, how it is doing, how large its pool is, whether it takes new
// requests, and taking reservations away.
//
// Threads: gRPC's. Cost: a copy; ResizePool answers when the pool has its new size. Errors: those
// of the request, and of AdmissionController::Resize and Revoke; Unimplemented where the pool has
// one size.
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
  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context, const v1::DrainRequest* in,
                                  v1::DrainResponse* out) override;
  grpc::ServerUnaryReactor* Resume(grpc::CallbackServerContext* context,
                                   const v1::ResumeRequest* in, v1::ResumeResponse* out) override;
  grpc::ServerUnaryReactor* RevokeReservation(grpc::CallbackServerContext* context,
                                              const v1::RevokeReservationRequest* in,
                                              v1::RevokeReservationResponse* out) override;

 private:
  absl::Status Revoke(const v1::RevokeReservationRequest& in, v1::RevokeReservationResponse* out);

  const Served& served_;
};

}  // namespace plimsoll
