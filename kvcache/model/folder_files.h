// The files in a folder that end alike.
//
// Threads: any. Cost: one reading of the folder. Errors: Internal, with the folder and the system's
// reason, where it cannot be read to its end: half a list would be another model.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace plimsoll {

// Their names, sorted; folders are none.
absl::StatusOr<std::vector<std::string>> FilesEndingWith(std::string_view ending,
                                                         const std::string& folder);

}  // namespace plimsoll
