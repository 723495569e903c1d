// Reserving and releasing in batches, one after the other.
//
// Threads: the caller's. Cost: the time asked for. Errors: Internal with the first answer that is
// no grant or no release.
#pragma once

#include "tools/bench/unary_load.h"

namespace plimsoll {

// `calls` of the result are operations, its latencies those of a message.
absl::StatusOr<LoadResult> RunBatchLoad(v1::AdmissionService::Stub& stub, int operations,
                                        Duration time);

}  // namespace plimsoll
