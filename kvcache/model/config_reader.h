// Reads a Hugging Face config.json into a ModelConfig, exactly or not at all.
//
// Defaults that a file leaves out are those of its architecture. A field that is contradictory,
// repeated, fractional, negative or beyond its bound is refused, and so is an architecture that is
// not in SupportedArchitectures(): a wrong number is worse than none. Fields that nothing here
// needs are not looked at.
//
// Threads: pure. Cost: O(text); tens of microseconds for a published file.
// Errors: InvalidArgument, one line naming the file, the field (or architecture) and the value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// `path` is a model folder or its config.json. A hf_quant_config.json beside it says that the
// checkpoint is stored quantised.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& path);

// `name` becomes the model's name and stands before every message.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json, const std::string& name);

std::vector<std::string> SupportedArchitectures();

}  // namespace plimsoll
