// How much memory this process may have: the machine's, or less where a control group says so.
//
// Control groups nest and each may have a limit; the tightest counts. Files cached by the group and
// not in use are not counted as taken: the kernel drops them first.
//
// Threads: any. Cost: reads a few small files. Errors: Internal when /proc/meminfo cannot be read;
// control groups that cannot be read limit nothing.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/device/backend.h"

namespace plimsoll {

// `root` is "/" outside tests: the folder with proc and sys.
absl::StatusOr<DeviceMemory> HostMemory(const std::string& root);

}  // namespace plimsoll
