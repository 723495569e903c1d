// gpt-oss: experts with biases, a sink for each head, windows in every other layer.
#include <algorithm>

#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {

void ReadGptOss(ConfigFields& fields, ModelConfig& model) {
  fields.Alias("num_experts_per_tok", "experts_per_token");
  const DecoderDefaults defaults{.kv_heads = 8, .head_dim = 64};
  ReadWidths(fields, defaults, model);
  const int64_t width = model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const AttentionSpec heads = ReadHeads(fields, defaults, model.hidden_size);
  AttendIn(model, AllLayers(model), heads);
  const bool bias = fields.Flag("attention_bias", true);
  AddEnds(model, {});
  AddAttention(model, {.qkv_bias = bias, .output_bias = bias});
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  const int64_t hidden = model.hidden_size;
  const int64_t experts = fields.Count("num_local_experts", kMaxExperts);
  const int64_t active = fields.Count("num_experts_per_tok", experts);
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.Add("self_attn.sinks", TensorRole::kSmall, {ByHead(heads.heads, 1)});
  layer.Add("mlp.router.weight", TensorRole::kRouter, {experts, hidden});
  layer.Add("mlp.router.bias", TensorRole::kBias, {experts});
  // All experts of a layer are one tensor each.
  const Extent inner = ByInner(width);
  const Extent both = inner + inner;
  layer.Expert("mlp.experts.gate_up_proj", {both, hidden}, experts, active);
  layer.Expert("mlp.experts.gate_up_proj_bias", {both}, experts, active, TensorRole::kBias);
  layer.Expert("mlp.experts.down_proj", {hidden, inner}, experts, active);
  layer.Expert("mlp.experts.down_proj_bias", {hidden}, experts, active, TensorRole::kBias);
  model.widest_ffn = active * width;
  const LayerList even = LayersWhere(model, [](int32_t i) { return i % 2 == 0; });
  SetWindow(model, SlidingLayers(fields, model).value_or(even),
            fields.CountOrNull("sliding_window", kMaxContext, 128));
}

}  // namespace plimsoll
