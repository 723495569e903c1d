// Elements of the towers that see, with what joins them to the language model: left out of plans,
// but part of the checkpoint.
//
// Threads: none. Cost: O(fields). Errors: in the ConfigFields given.
#pragma once

#include <cstdint>

#include "kvcache/model/config_fields.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// Qwen3-VL and Qwen3.5: patches of pixels and frames, learned positions, a merger at the end and
// one for each layer that feeds the language model early.
int64_t QwenVisionElements(ConfigFields& fields, const ModelConfig& model);

// Gemma 3: SigLIP with a projection to the language model.
int64_t GemmaVisionElements(ConfigFields& fields, const ModelConfig& model);

}  // namespace plimsoll
