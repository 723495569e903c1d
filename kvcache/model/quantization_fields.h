// Reads how a checkpoint is stored quantised: quantization_config, in the words of fp8, mxfp4,
// gptq, awq, compressed-tensors and bitsandbytes.
//
// Sets model.quantization to the method's name, and model.storage where the layout follows exactly
// from the file; a method or a setting that is not known leaves storage empty, so that plans ask
// for a type instead of guessing.
//
// Threads: none. Cost: O(fields). Errors: in the ConfigFields given.
#pragma once

#include "kvcache/model/config_fields.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

void ReadQuantization(ConfigFields& fields, ModelConfig& model);

}  // namespace plimsoll
