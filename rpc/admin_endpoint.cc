#include "rpc/admin_endpoint.h"

#include "rpc/convert_admin.h"
#include "rpc/convert_generation.h"

namespace plimsoll {

grpc::ServerUnaryReactor* AdminEndpoint::GetServerInfo(grpc::CallbackServerContext* context,
                                                       const v1::GetServerInfoRequest*,
                                                       v1::GetServerInfoResponse* out) {
  ServerInfo info = served_.info;
  if (served_.loop != nullptr) info.loop = served_.loop->Stats();
  info.memory = served_.Memory();
  *out = ToWire(info);
  return Finished(context, absl::OkStatus());
}

// The outcome comes from the thread that steps, which must not send.
grpc::ServerUnaryReactor* AdminEndpoint::ResizePool(grpc::CallbackServerContext* context,
                                                    const v1::ResizePoolRequest* in,
                                                    v1::ResizePoolResponse* out) {
  if (!served_.resize) {
    return Finished(context, absl::UnimplementedError("the pool of this server has one size"));
  }
  const absl::StatusOr<Blocks> total = TotalBlocksFrom(*in, served_.identity.block_bytes);
  if (!total.ok()) return Finished(context, total.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  served_.resize(*total, [this, reactor, out](const absl::StatusOr<PoolResized>& resized) {
    if (resized.ok()) *out = ToWire(*resized);
    served_.housekeeper.Post(
        [reactor, status = resized.status()] { reactor->Finish(ToGrpc(status)); });
  });
  return reactor;
}

grpc::ServerUnaryReactor* AdminEndpoint::Drain(grpc::CallbackServerContext* context,
                                               const v1::DrainRequest*, v1::DrainResponse* out) {
  served_.draining.Start();
  const AdmissionSnapshot now = served_.admission.published().Read();
  out->set_reservations(now.reservations);
  out->set_held_blocks((now.blocks.live + now.blocks.reserved).value());
  return Finished(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* AdminEndpoint::Resume(grpc::CallbackServerContext* context,
                                                const v1::ResumeRequest*, v1::ResumeResponse* out) {
  const absl::Status resumed = served_.draining.Resume();
  out->set_revision(served_.Revision());
  return Finished(context, resumed);
}

grpc::ServerUnaryReactor* AdminEndpoint::RevokeReservation(grpc::CallbackServerContext* context,
                                                           const v1::RevokeReservationRequest* in,
                                                           v1::RevokeReservationResponse* out) {
  return Finished(context, Revoke(*in, out));
}

absl::Status AdminEndpoint::Revoke(const v1::RevokeReservationRequest& in,
                                   v1::RevokeReservationResponse* out) {
  const absl::StatusOr<std::string> id = ReservationIdFrom(in.reservation_id());
  if (!id.ok()) return id.status();
  const absl::StatusOr<Revocation> revoked =
      served_.admission.With([&](AdmissionController& admission) { return admission.Revoke(*id); });
  if (!revoked.ok()) return revoked.status();
  if (served_.revoked) served_.revoked(*id);
  out->set_blocks(revoked->blocks.value());
  out->set_stopping(revoked->stopping);
  out->set_revision(served_.Revision());
  return absl::OkStatus();
}

}  // namespace plimsoll
