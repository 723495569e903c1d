// LLaMA 1 to 3, and the many models that use its architecture.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {

void ReadLlama(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, {}, model);
  const bool attention_bias = fields.Flag("attention_bias", false);
  AddAttention(model, {.qkv_bias = attention_bias, .output_bias = attention_bias});
  AddGatedMlp(model, {.width = model.intermediate_size, .bias = fields.Flag("mlp_bias", false)},
              AllLayers(model));
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
}

}  // namespace plimsoll
