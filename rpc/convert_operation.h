// Between actions and the operations of the wire, on the client's side.
//
// Threads: pure functions. Cost: a copy. Errors: InvalidArgument for what no server should say.
#pragma once

#include <cstdint>

#include "plimsoll/v1/admission.pb.h"
#include "rpc/action.h"

namespace plimsoll {

void SetOperation(uint64_t id, const Action& action, v1::Operation* out);
absl::StatusOr<Outcome> OutcomeFrom(const v1::OperationResult& in, Instant now);

}  // namespace plimsoll
