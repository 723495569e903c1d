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
void ReadPhi(ConfigFields& fields, ModelConfig& model);
void ReadPhi3(ConfigFields& fields, ModelConfig& model);
void ReadPhiMoe(ConfigFields& fields, ModelConfig& model);
void ReadQwen3Next(ConfigFields& fields, ModelConfig& model);
void ReadQwen35(ConfigFields& fields, ModelConfig& model);
void ReadQwen35Moe(ConfigFields& fields, ModelConfig& model);
void ReadMiMo(ConfigFields& fields, ModelConfig& model);
void ReadGemma4(ConfigFields& fields, ModelConfig& model);
void ReadGpt2(ConfigFields& fields, ModelConfig& model);
void ReadGptJ(ConfigFields& fields, ModelConfig& model);
void ReadGptNeoX(ConfigFields& fields, ModelConfig& model);
void ReadMpt(ConfigFields& fields, ModelConfig& model);
void ReadOpt(ConfigFields& fields, ModelConfig& model);
void ReadBloom(ConfigFields& fields, ModelConfig& model);
void ReadFalcon(ConfigFields& fields, ModelConfig& model);
void ReadStarcoder2(ConfigFields& fields, ModelConfig& model);
void ReadDeepseekV2(ConfigFields& fields, ModelConfig& model);
void ReadDeepseekV3(ConfigFields& fields, ModelConfig& model);
void ReadDeepseekV32(ConfigFields& fields, ModelConfig& model);
void ReadGlmDsa(ConfigFields& fields, ModelConfig& model);
void ReadGptOss(ConfigFields& fields, ModelConfig& model);
void ReadChatGlm(ConfigFields& fields, ModelConfig& model);
void ReadGlm(ConfigFields& fields, ModelConfig& model);
void ReadGlm4(ConfigFields& fields, ModelConfig& model);
void ReadCohere(ConfigFields& fields, ModelConfig& model);
void ReadCohere2(ConfigFields& fields, ModelConfig& model);
void ReadOlmo2(ConfigFields& fields, ModelConfig& model);
void ReadMamba(ConfigFields& fields, ModelConfig& model);
void ReadJamba(ConfigFields& fields, ModelConfig& model);
void ReadBamba(ConfigFields& fields, ModelConfig& model);
void ReadGraniteHybrid(ConfigFields& fields, ModelConfig& model);
void ReadNemotronH(ConfigFields& fields, ModelConfig& model);
void ReadDeciLm(ConfigFields& fields, ModelConfig& model);
void ReadLlama4(ConfigFields& fields, ModelConfig& model);
void ReadMiniMaxM2(ConfigFields& fields, ModelConfig& model);

}  // namespace plimsoll
