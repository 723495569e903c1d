// Durations as people type them: "30s", "500ms", "2m", "1h", "0".
//
// Threads: pure. Cost: O(text). Errors: InvalidArgument quoting the text.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

// A whole, non-negative number and a unit, at most a day in all. `what` names the value in
// messages.
absl::StatusOr<Duration> ParseDuration(const std::string& text, const std::string& what);

}  // namespace plimsoll
