// AdminService: what this server is and how it is doing.
//
// Threads: gRPC's. Cost: a copy. Errors: none.
#pragma once

#include "plimsoll/v1/admin.grpc.pb.h"
#include "rpc/convert_generation.h"
#include "rpc/served.h"

namespace plimsoll {

class AdminEndpoint final : public v1::AdminService::CallbackService {
 public:
  explicit AdminEndpoint(const Served& served) : served_(served) {}

  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest*,
                                          v1::GetServerInfoResponse* out) override {
    ServerInfo info = served_.info;
    if (served_.loop != nullptr) info.loop = served_.loop->Stats();
    *out = ToWire(info);
    return Finished(context, absl::OkStatus());
  }

 private:
  const Served& served_;
};

}  // namespace plimsoll
