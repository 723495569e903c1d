// Between messages and the words of generation and of the server's own description.
//
// Threads: pure functions. Cost: a copy. Errors: InvalidArgument naming the field.
#pragma once

#include "absl/status/statusor.h"
#include "plimsoll/v1/admin.pb.h"
#include "plimsoll/v1/generation.pb.h"
#include "rpc/convert.h"
#include "rpc/server_info.h"

namespace plimsoll {

wire::GenerateRequest ToWire(const GenerationRequest& request);
absl::StatusOr<GenerationRequest> FromWire(const wire::GenerateRequest& in);

wire::FinishReason ToWire(FinishReason reason);
absl::StatusOr<FinishReason> FromWire(wire::FinishReason reason);

wire::GetServerInfoResponse ToWire(const ServerInfo& info);
absl::StatusOr<ServerInfo> FromWire(const wire::GetServerInfoResponse& in);

}  // namespace plimsoll
