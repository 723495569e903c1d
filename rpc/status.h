// Statuses on both sides of the wire: the codes have the same numbers.
//
// Threads: pure functions. Cost: copies the message. Errors: none.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace plimsoll {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace plimsoll
