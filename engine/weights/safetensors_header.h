// The JSON header of a safetensors file, checked before anything is believed.
//
// Threads: pure. Cost: O(header). Errors: InvalidArgument with tensor, field and value.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/weights/safetensors.h"

namespace plimsoll {

// Tensors by name, with offsets counted from the start of the file: the data begins at
// `data_start` and is `data_bytes` long.
absl::StatusOr<std::map<std::string, StoredTensor>> ParseSafetensorsHeader(std::string_view text,
                                                                           int64_t data_start,
                                                                           int64_t data_bytes);

}  // namespace plimsoll
