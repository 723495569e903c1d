// The families of models that can be read: one function each, in family_<name>.cc.
//
// A function reads the fields of its architecture and lists its tensors. To add a family, write
// one such file and one row of the table in config_reader.cc.
//
// Threads: none. Cost: O(layers). Errors: in the ConfigFields given.
#pragma once

#include "kvcache/model/config_fields.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

void ReadLlama(ConfigFields& fields, ModelConfig& model);
void ReadMistral(ConfigFields& fields, ModelConfig& model);
void ReadMixtral(ConfigFields& fields, ModelConfig& model);
void ReadQwen2(ConfigFields& fields, ModelConfig& model);
void ReadQwen2Moe(ConfigFields& fields, ModelConfig& model);
void ReadQwen3(ConfigFields& fields, ModelConfig& model);
void ReadQwen3Moe(ConfigFields& fields, ModelConfig& model);
void ReadGemma(ConfigFields& fields, ModelConfig& model);
void ReadGemma2(ConfigFields& fields, ModelConfig& model);
void ReadGemma3(ConfigFields& fields, ModelConfig& model);
void ReadPhi3(ConfigFields& fields, ModelConfig& model);

}  // namespace plimsoll
