// What the Qwen families have in common.
//
// Threads: none. Cost: O(layers). Errors: in the ConfigFields given.
#pragma once

#include <cstdint>

#include "kvcache/model/config_fields.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// Layers with experts are every decoder_sparse_step-th, less those of mlp_only_layers; the others
// have a plain MLP. A shared expert stands beside the routed ones where the file gives its width.
void ReadQwenExperts(ConfigFields& fields, ModelConfig& model, int64_t default_top_k);

}  // namespace plimsoll
