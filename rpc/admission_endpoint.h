// AdmissionService: message to request, one call, answer to message.
//
// Threads: gRPC's. Cost: one lock per call. Errors: as the proto says.
#pragma once

#include "plimsoll/v1/admission.grpc.pb.h"
#include "rpc/served.h"
#include "rpc/session.h"

namespace plimsoll {

// The calls that are made most read and write bytes; the others are as generated.
template <class Base>
using AdmissionCalls = v1::AdmissionService::WithCallbackMethod_ExtendReservation<
    v1::AdmissionService::WithCallbackMethod_RenewReservations<Base>>;

class AdmissionEndpoint final
    : public AdmissionCalls<v1::AdmissionService::WithRawCallbackMethod_ReserveCapacity<
          v1::AdmissionService::WithRawCallbackMethod_ReleaseReservation<
              v1::AdmissionService::WithRawCallbackMethod_BatchReserveCapacity<
                  v1::AdmissionService::WithRawCallbackMethod_Session<
                      v1::AdmissionService::Service>>>>> {
 public:
  explicit AdmissionEndpoint(const Served& served) : served_(served) {}
  ~AdmissionEndpoint() override;

  grpc::ServerUnaryReactor* ReserveCapacity(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* in,
                                            grpc::ByteBuffer* out) override;
  grpc::ServerUnaryReactor* ExtendReservation(grpc::CallbackServerContext* context,
                                              const v1::ExtendReservationRequest* in,
                                              v1::ExtendReservationResponse* out) override;
  grpc::ServerUnaryReactor* RenewReservations(grpc::CallbackServerContext* context,
                                              const v1::RenewReservationsRequest* in,
                                              v1::RenewReservationsResponse* out) override;
  grpc::ServerUnaryReactor* ReleaseReservation(grpc::CallbackServerContext* context,
                                               const grpc::ByteBuffer* in,
                                               grpc::ByteBuffer* out) override;
  grpc::ServerUnaryReactor* BatchReserveCapacity(grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* in,
                                                 grpc::ByteBuffer* out) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Session(
      grpc::CallbackServerContext* context) override;

 private:
  // Of who calls, if he may ask it.
  absl::StatusOr<ReservationRequest> RequestOf(const grpc::CallbackServerContext& context,
                                               v1::ReserveCapacityRequest& in) const;
  absl::Status Reserve(const grpc::CallbackServerContext& context, v1::ReserveCapacityRequest& in,
                       grpc::ByteBuffer* out);
  absl::Status Extend(const grpc::CallbackServerContext& context,
                      const v1::ExtendReservationRequest& in, v1::ExtendReservationResponse* out);
  absl::Status Renew(const grpc::CallbackServerContext& context,
                     const v1::RenewReservationsRequest& in, v1::RenewReservationsResponse* out);
  absl::Status Release(const grpc::CallbackServerContext& context,
                       v1::ReleaseReservationRequest& in, grpc::ByteBuffer* out);

  const Served& served_;
  Sessions sessions_{served_.sessions};
};

}  // namespace plimsoll
