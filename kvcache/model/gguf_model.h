// What sizing needs of a model, from the header of its GGUF file.
//
// What a token keeps follows from the metadata and must agree with the shapes of the tensors that
// compute K and V; parameters and the weights' bytes are those of the table. Exactly or not at all:
// an architecture that is not in GgufArchitectures() is refused by name, and so is one that the
// shapes show to be another.
//
// Threads: pure. Cost: O(header). Errors: InvalidArgument naming key or tensor, and value.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/gguf_header.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// `name` becomes the model's name.
absl::StatusOr<ModelConfig> ModelFromGguf(const GgufHeader& header, const std::string& name);

std::vector<std::string> GgufArchitectures();

}  // namespace plimsoll
