// StarCoder 2: a plain MLP, biases everywhere, a window in every layer.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {

void ReadStarcoder2(ConfigFields& fields, ModelConfig& model) {
  const DecoderDefaults defaults{.kv_heads = 2, .tied_embeddings = true};
  ReadWidths(fields, defaults, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  model.widest_ffn = model.intermediate_size;
  const AttentionSpec heads = ReadHeads(fields, defaults, model.hidden_size);
  AttendIn(model, AllLayers(model), heads);
  const int64_t hidden = model.hidden_size;
  const bool bias = fields.Flag("use_bias", true);
  AddEnds(model, {.norm_bias = true});
  AddAttention(model, {.qkv_bias = bias, .output_bias = bias});
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.Matrix("mlp.c_fc", ByInner(model.intermediate_size), hidden, bias);
  layer.Matrix("mlp.c_proj", hidden, ByInner(model.intermediate_size), bias);
  layer.Norm("input_layernorm", hidden, true);
  layer.Norm("post_attention_layernorm", hidden, true);
  SetWindow(model, AllLayers(model), fields.OptionalCount("sliding_window", kMaxContext));
}

}  // namespace plimsoll
