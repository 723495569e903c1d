// BatchReserveCapacity: many operations under one lock.
//
// Threads: any. Cost: one lock for all, O(operations). Errors: InvalidArgument for a count out of
// range, and, where all or nothing is wanted, for what one operation asks.
#pragma once

#include "absl/status/status.h"
#include "plimsoll/v1/admission.pb.h"
#include "rpc/caller.h"
#include "rpc/served.h"

namespace plimsoll {

inline constexpr int kMaxOperations = 256;  // in one message

absl::Status DoBatch(const Served& served, const Caller& caller,
                     const v1::BatchReserveCapacityRequest& in,
                     v1::BatchReserveCapacityResponse* out);

}  // namespace plimsoll
