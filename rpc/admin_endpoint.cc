#include "rpc/admin_endpoint.h"

#include "rpc/convert_admin.h"
#include "rpc/convert_generation.h"

namespace plimsoll {

grpc::ServerUnaryReactor* AdminEndpoint::GetServerInfo(grpc::CallbackServerContext* context,
                                                       const v1::GetServerInfoRequest*,
                                                       v1::GetServerInfoResponse* out) {
  ServerInfo info = served_.info;
  if (served_.loop != nullptr) info.loop = served_.loop->Stats();
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

}  // namespace plimsoll
