// Reads how a checkpoint is stored quantised: quantization_config, in the words of fp8, mxfp4,
// gptq, awq, compressed-tensors, bitsandbytes and modelopt, and the file beside config.json in
// which modelopt says it elsewhere.
//
// Sets model.quantization to the method's name, and model.storage where the layout follows exactly
// from the file; a method or a setting that is not known leaves storage empty, so that plans ask
// for a type instead of guessing. Where the checkpoint has scales for an fp8 K and V,
// model.kv_type says so.
//
// Comes after the model's tensors, against which patterns of module names are resolved.
//
// Threads: none. Cost: O(fields), and for patterns O(tensors x layers). Errors: in the ConfigFields
// given.
#pragma once

#include "kvcache/model/config_fields.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

void ReadQuantization(ConfigFields& fields, ModelConfig& model);

// `fields` is all of hf_quant_config.json.
void ReadQuantizationBeside(ConfigFields& fields, ModelConfig& model);

}  // namespace plimsoll
