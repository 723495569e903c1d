#include "rpc/admission_endpoint.h"

#include <utility>

#include "rpc/answer_bytes.h"
#include "rpc/batch.h"
#include "rpc/caller.h"
#include "rpc/claim.h"
#include "rpc/convert.h"
#include "rpc/message_bytes.h"
#include "rpc/session_endpoint.h"
#include "rpc/waiting_reserve.h"

namespace plimsoll {

grpc::ServerUnaryReactor* AdmissionEndpoint::ReserveCapacity(grpc::CallbackServerContext* context,
                                                             const grpc::ByteBuffer* bytes,
                                                             grpc::ByteBuffer* out) {
  Received<v1::ReserveCapacityRequest, 1 << 10> received(*bytes);
  if (!received.parsed()) return Finished(context, DoesNotParse());
  v1::ReserveCapacityRequest& in = *received;
  const absl::StatusOr<Duration> max_wait = MaxWaitFrom(in);
  if (!max_wait.ok()) return Finished(context, max_wait.status());
  if (*max_wait == Duration::zero() || in.validate_only()) {
    return Finished(context, Reserve(*context, in, out));
  }
  const absl::StatusOr<ReservationRequest> request = RequestOf(*context, in);
  if (!request.ok()) return Finished(context, request.status());
  return WaitingReserve::Start(served_, *context, *request, *max_wait, out);
}

absl::StatusOr<ReservationRequest> AdmissionEndpoint::RequestOf(
    const grpc::CallbackServerContext& context, v1::ReserveCapacityRequest& in) const {
  const absl::StatusOr<Caller> caller = Caller::Of(served_, context);
  if (!caller.ok()) return caller.status();
  absl::StatusOr<ReservationRequest> request = FromWire(in);
  if (request.ok()) PLIMSOLL_RETURN_IF_ERROR(caller->ActFor(request->tenant));
  return request;
}

absl::Status AdmissionEndpoint::Reserve(const grpc::CallbackServerContext& context,
                                        v1::ReserveCapacityRequest& in, grpc::ByteBuffer* out) {
  const absl::StatusOr<ReservationRequest> request = RequestOf(context, in);
  if (!request.ok()) return request.status();
  if (CallerIsGone(context)) return absl::CancelledError("the caller gave up");
  const Instant asked = served_.clock.Now();
  const absl::StatusOr<Answer> answer =
      served_.admission.With([&](AdmissionController& admission) -> absl::StatusOr<Answer> {
        if (!in.validate_only()) return admission.Reserve(*request);
        PLIMSOLL_RETURN_IF_ERROR(admission.Validate(*request));
        return admission.CanAdmit(*request);
      });
  const Instant decided = served_.clock.Now();
  served_.decisions.Add(decided - asked);
  if (!answer.ok()) return answer.status();
  *out = ReserveAnswerBytes(*answer, served_.Revision(), decided);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* AdmissionEndpoint::ExtendReservation(
    grpc::CallbackServerContext* context, const v1::ExtendReservationRequest* in,
    v1::ExtendReservationResponse* out) {
  return Finished(context, Extend(*context, *in, out));
}

absl::Status AdmissionEndpoint::Extend(const grpc::CallbackServerContext& context,
                                       const v1::ExtendReservationRequest& in,
                                       v1::ExtendReservationResponse* out) {
  const absl::StatusOr<Caller> caller = Caller::Of(served_, context);
  if (!caller.ok()) return caller.status();
  const absl::StatusOr<std::string> id = ReservationIdFrom(in.reservation_id());
  if (!id.ok()) return id.status();
  const absl::StatusOr<Tokens> total = TotalTokensFrom(in);
  if (!total.ok()) return total.status();
  const absl::StatusOr<Answer> answer =
      served_.admission.With([&](AdmissionController& admission) -> absl::StatusOr<Answer> {
        PLIMSOLL_RETURN_IF_ERROR(caller->CheckMayTouch(admission, *id));
        return admission.Extend(*id, *total);
      });
  if (!answer.ok()) return answer.status();
  SetOutcome(*answer, served_.clock.Now(), out);
  out->set_revision(served_.Revision());
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* AdmissionEndpoint::RenewReservations(
    grpc::CallbackServerContext* context, const v1::RenewReservationsRequest* in,
    v1::RenewReservationsResponse* out) {
  return Finished(context, Renew(*context, *in, out));
}

absl::Status AdmissionEndpoint::Renew(const grpc::CallbackServerContext& context,
                                      const v1::RenewReservationsRequest& in,
                                      v1::RenewReservationsResponse* out) {
  const absl::StatusOr<Caller> caller = Caller::Of(served_, context);
  if (!caller.ok()) return caller.status();
  const Instant now = served_.clock.Now();
  return RenewAll(served_.admission, *caller, now, in, out);
}

grpc::ServerUnaryReactor* AdmissionEndpoint::ReleaseReservation(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) {
  Received<v1::ReleaseReservationRequest, 512> received(*in);
  if (!received.parsed()) return Finished(context, DoesNotParse());
  return Finished(context, Release(*context, *received, out));
}

absl::Status AdmissionEndpoint::Release(const grpc::CallbackServerContext& context,
                                        v1::ReleaseReservationRequest& in, grpc::ByteBuffer* out) {
  const absl::StatusOr<Caller> caller = Caller::Of(served_, context);
  if (!caller.ok()) return caller.status();
  const absl::StatusOr<std::string> id = ReservationIdFrom(std::move(*in.mutable_reservation_id()));
  if (!id.ok()) return id.status();
  const absl::StatusOr<std::optional<Tokens>> used = UsedTokensFrom(in);
  if (!used.ok()) return used.status();
  const absl::Status released = served_.admission.With([&](AdmissionController& admission) {
    PLIMSOLL_RETURN_IF_ERROR(caller->CheckMayTouch(admission, *id));
    return admission.Release(*id, *used);
  });
  if (!released.ok()) return released;
  *out = ReleaseAnswerBytes(served_.Revision());
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* AdmissionEndpoint::BatchReserveCapacity(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) {
  if (CallerIsGone(*context)) {
    return Finished(context, absl::CancelledError("the caller gave up"));
  }
  const absl::StatusOr<Caller> caller = Caller::Of(served_, *context);
  if (!caller.ok()) return Finished(context, caller.status());
  Received<v1::BatchReserveCapacityRequest, 24 << 10> received(*in);
  if (!received.parsed()) return Finished(context, DoesNotParse());
  const absl::StatusOr<std::string> answer = DoBatch(served_, *caller, *received);
  if (answer.ok()) *out = BytesOf(*answer);
  return Finished(context, answer.status());
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* AdmissionEndpoint::Session(
    grpc::CallbackServerContext* context) {
  return StartSession(served_, sessions_, Caller::Of(served_, *context));
}

AdmissionEndpoint::~AdmissionEndpoint() {
  served_.admission.With([&](AdmissionController& admission) { sessions_.Forsake(admission); });
}

}  // namespace plimsoll
