// A call as any client makes it: a new connection through the accept loop, and a Health check.
//
// Threads: one call at a time per address. Cost: a connection. Errors: Unavailable or
// DeadlineExceeded where nobody answered; what health was answered does not matter.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

absl::Status CheckAnswers(const std::string& address, Duration limit);

}  // namespace plimsoll
