// OLMo 2: norms after each half of a layer, and over the whole of q and of k.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {

void ReadOlmo2(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, {.norm_epsilon = 1e-5}, model);
  const bool bias = fields.Flag("attention_bias", false);
  AddAttention(model, {.qkv_bias = bias, .output_bias = bias});
  AddGatedMlp(model, {.width = model.intermediate_size}, AllLayers(model));
  AddLayerNorms(model, {"post_attention_layernorm", "post_feedforward_layernorm"});
  const AttentionSpec& heads = model.attention.front();
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.Norm("self_attn.q_norm", heads.heads * heads.head_dim);
  layer.Norm("self_attn.k_norm", heads.kv_heads * heads.head_dim);
}

}  // namespace plimsoll
