// AdmissionService: message to request, one call, answer to message.
//
// Threads: gRPC's. Cost: one lock per call. Errors: as the proto says.
#pragma once

#include "plimsoll/v1/admission.grpc.pb.h"
#include "rpc/arena_messages.h"
#include "rpc/served.h"
#include "rpc/session.h"

namespace plimsoll {

class AdmissionEndpoint final : public v1::AdmissionService::CallbackService {
 public:
  explicit AdmissionEndpoint(const Served& served);
  ~AdmissionEndpoint() override;

  grpc::ServerUnaryReactor* ReserveCapacity(grpc::CallbackServerContext* context,
                                            const v1::ReserveCapacityRequest* in,
                                            v1::ReserveCapacityResponse* out) override;
  grpc::ServerUnaryReactor* ExtendReservation(grpc::CallbackServerContext* context,
                                              const v1::ExtendReservationRequest* in,
                                              v1::ExtendReservationResponse* out) override;
  grpc::ServerUnaryReactor* RenewReservations(grpc::CallbackServerContext* context,
                                              const v1::RenewReservationsRequest* in,
                                              v1::RenewReservationsResponse* out) override;
  grpc::ServerUnaryReactor* ReleaseReservation(grpc::CallbackServerContext* context,
                                               const v1::ReleaseReservationRequest* in,
                                               v1::ReleaseReservationResponse* out) override;
  grpc::ServerUnaryReactor* BatchReserveCapacity(grpc::CallbackServerContext* context,
                                                 const v1::BatchReserveCapacityRequest* in,
                                                 v1::BatchReserveCapacityResponse* out) override;
  grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* Session(
      grpc::CallbackServerContext* context) override;

 private:
  // Of who calls, if he may ask it.
  absl::StatusOr<ReservationRequest> RequestOf(const grpc::CallbackServerContext& context,
                                               const v1::ReserveCapacityRequest& in) const;
  absl::Status Reserve(const grpc::CallbackServerContext& context,
                       const v1::ReserveCapacityRequest& in, v1::ReserveCapacityResponse* out);
  absl::Status Extend(const grpc::CallbackServerContext& context,
                      const v1::ExtendReservationRequest& in, v1::ExtendReservationResponse* out);
  absl::Status Renew(const grpc::CallbackServerContext& context,
                     const v1::RenewReservationsRequest& in, v1::RenewReservationsResponse* out);
  absl::Status Release(const grpc::CallbackServerContext& context,
                       const v1::ReleaseReservationRequest& in,
                       v1::ReleaseReservationResponse* out);

  const Served& served_;
  Sessions sessions_{served_.sessions};
  ArenaMessages<v1::ReserveCapacityRequest, v1::ReserveCapacityResponse> reserve_messages_{1024};
  ArenaMessages<v1::BatchReserveCapacityRequest, v1::BatchReserveCapacityResponse> batch_messages_{
      16 << 10};
};

}  // namespace plimsoll
