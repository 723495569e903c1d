// One operation of a batch or a session: read, done, answered.
//
// Reading bounds every field, so that what is done under the admission lock cannot fail for a bad
// number. A fault of one operation is its result, and no business of the others.
//
// Threads: pure but for Do, which its caller runs under the lock. Cost: that of the call made.
// Errors: as the proto says, in the result.
#pragma once

#include "absl/status/statusor.h"
#include "kvcache/admission/admission_controller.h"
#include "plimsoll/v1/admission.pb.h"
#include "rpc/action.h"
#include "rpc/caller.h"

namespace plimsoll {

// What it asks for; the ids in it are taken out of it.
absl::StatusOr<Action> ActionFrom(v1::Operation& in, const Caller& caller);
// Answers at once: a reservation does not wait. What it grants is the keeper's.
Outcome Do(AdmissionController& admission, const Action& action, const Caller& caller,
           LeaseKeeper* keeper = nullptr);
void SetResult(uint64_t id, const Outcome& outcome, Instant now, v1::OperationResult* out);

}  // namespace plimsoll
