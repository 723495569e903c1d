// BatchReserveCapacity: many operations under one lock.
//
// Threads: any. Cost: one lock for all, O(operations). Errors: InvalidArgument for a count out of
// range, and, where all or nothing is wanted, for what one operation asks.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "plimsoll/v1/admission.pb.h"
#include "rpc/caller.h"
#include "rpc/served.h"

namespace plimsoll {

inline constexpr int kMaxOperations = 256;  // in one message

// The bytes of a BatchReserveCapacityResponse. The ids in `in` are taken out of it.
absl::StatusOr<std::string> DoBatch(const Served& served, const Caller& caller,
                                    v1::BatchReserveCapacityRequest& in);

}  // namespace plimsoll
