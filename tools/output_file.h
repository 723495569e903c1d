// Where a command's result goes: standard output, or the file that -o names.
//
// Threads: none. Cost: the write. Errors: Internal naming the file and the reason (no such folder,
// no permission, disk full), also for standard output.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace plimsoll {

// An empty `path` is standard output.
absl::Status WriteOutput(const std::string& path, const std::string& text);

}  // namespace plimsoll
