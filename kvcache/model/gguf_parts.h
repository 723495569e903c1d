// A GGUF model in one file, or in parts that count themselves: "-00001-of-00003.gguf".
//
// Threads: pure. Cost: O(headers). Errors: as gguf_header.h; InvalidArgument naming the part that
// is missing, or the tensor that is in two of them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/gguf_header.h"

namespace plimsoll {

// The header at `path`, with the tensors of all parts where it is one of several. The metadata is
// that of the first part.
absl::StatusOr<GgufHeader> ReadGgufParts(const std::string& path);

// The model's name: the file's without its ending and without the numbers of a part.
std::string GgufName(const std::string& path);

// The GGUF files in a folder, sorted, and of files in parts only the first ones. Internal where it
// cannot be read.
absl::StatusOr<std::vector<std::string>> GgufFilesIn(const std::string& folder);

}  // namespace plimsoll
