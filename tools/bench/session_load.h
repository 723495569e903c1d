// Reserving and releasing over one session, with so many operations on their way at once, each in
// a message of its own.
//
// Threads: gRPC's do the work; the caller waits. Cost: the time asked for, and four bytes for each
// operation. Errors: Internal with the first result that is no grant or no release.
#pragma once

#include "tools/bench/unary_load.h"

namespace plimsoll {

// `calls` of the result are operations.
absl::StatusOr<LoadResult> RunSessionLoad(v1::AdmissionService::Stub& stub, int window,
                                          Duration time);

}  // namespace plimsoll
