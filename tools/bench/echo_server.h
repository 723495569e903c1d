// The peer of every measurement over gRPC: the same methods, messages of the same sizes, the same
// callback API, and nothing behind. What it costs is what gRPC costs.
//
// Threads: gRPC's. Errors: FailedPrecondition where it cannot listen.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace plimsoll {

// Says that it is ready as `plimsoll serve` does, and serves until the process is killed.
absl::Status ServeEcho(const std::vector<std::string>& addresses);

}  // namespace plimsoll
