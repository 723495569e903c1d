// Between AdminService's messages about the pool and values, both ways and for both sides.
//
// Threads: pure functions. Cost: a copy. Errors: InvalidArgument naming the field.
#pragma once

#include "absl/status/statusor.h"
#include "kvcache/admission/admission_controller.h"
#include "plimsoll/v1/admin.pb.h"
#include "rpc/client.h"

namespace plimsoll {

v1::ResizePoolRequest ToWire(const PoolSize& size);
// `block_bytes` is zero where no model says how large a block is.
absl::StatusOr<Blocks> TotalBlocksFrom(const v1::ResizePoolRequest& in, Bytes block_bytes);

v1::ResizePoolResponse ToWire(const PoolResized& resized);
absl::StatusOr<PoolResized> FromWire(const v1::ResizePoolResponse& in);

}  // namespace plimsoll
