// Bamba and Granite 4: Mamba 2 layers with attention in the layers that the file names, and an MLP
// in each; Granite adds experts to it.
#include <algorithm>

#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"
#include "kvcache/model/mamba_parts.h"

namespace plimsoll {
namespace {

// Adds attention to the layers of `attending` and Mamba 2 to the others.
void AddMixers(ConfigFields& fields, const LayerList& attending, const AttentionSpec& heads,
               ModelConfig& model) {
  const LayerList scanning = OtherLayers(model, attending);
  TensorList attention(model, "model.layers.{layer}.", attending);
  const bool bias = fields.Flag("attention_bias", false);
  AddAttentionOf(attention, model.hidden_size, heads, {.qkv_bias = bias, .output_bias = bias});
  AttendIn(model, attending, heads);
  if (scanning.empty()) return;
  const Mamba2 mamba = ReadMamba2(fields, model.hidden_size);
  TensorList recurrent(model, "model.layers.{layer}.", scanning);
  AddMamba2(model, recurrent, "mamba.", mamba);
  KeepStateIn(model, scanning, StateOf(mamba));
}

LayerList NamedLayers(ConfigFields& fields, const ModelConfig& model) {
  const std::vector<int64_t> named = fields.Indices("attn_layer_indices", model.layers - 1);
  return LayersWhere(model, [&](int32_t layer) {
    return std::find(named.begin(), named.end(), layer) != named.end();
  });
}

// Without layer_types every layer is Mamba.
LayerList AttentionLayers(ConfigFields& fields, const ModelConfig& model) {
  const std::string_view name = fields.Has("layer_types") ? "layer_types" : "layers_block_type";
  if (!fields.Has(name)) return {};
  return LayersOfKind(fields, name, "attention", "mamba", model);
}

}  // namespace

void ReadBamba(ConfigFields& fields, ModelConfig& model) {
  const DecoderDefaults defaults{.kv_heads = 8, .context = 262144};
  ReadWidths(fields, defaults, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const AttentionSpec heads = ReadHeads(fields, defaults, model.hidden_size);
  AddEnds(model, {.norm = "model.final_layernorm"});
  AddMixers(fields, NamedLayers(fields, model), heads, model);
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.GatedMlp("feed_forward", model.intermediate_size, fields.Flag("mlp_bias", false));
  AddLayerNorms(model, {"input_layernorm", "pre_ff_layernorm"});
}

void ReadGraniteHybrid(ConfigFields& fields, ModelConfig& model) {
  ReadWidths(fields, {.context = 2048}, model);
  const int64_t hidden = model.hidden_size;
  const AttentionSpec heads = ReadHeads(fields, {}, hidden);
  AddEnds(model, {});
  AddMixers(fields, AttentionLayers(fields, model), heads, model);
  const int64_t shared = fields.Count("shared_intermediate_size", kMaxWidth, 1024);
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.Matrix("shared_mlp.input_linear", ByInner(shared) + ByInner(shared), hidden);
  layer.Matrix("shared_mlp.output_linear", hidden, ByInner(shared));
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  model.widest_ffn = std::max(model.widest_ffn, shared);
  const int64_t experts = fields.Index("num_local_experts", kMaxExperts, 8);
  if (experts == 0) return;
  const int64_t width = fields.Count("intermediate_size", kMaxWidth);
  const int64_t active = fields.Count("num_experts_per_tok", experts);
  layer.Add("block_sparse_moe.router.layer.weight", TensorRole::kRouter, {experts, hidden});
  const Extent inner = ByInner(width);
  layer.Expert("block_sparse_moe.input_linear.weight", {inner + inner, hidden}, experts, active);
  layer.Expert("block_sparse_moe.output_linear.weight", {hidden, inner}, experts, active);
  model.widest_ffn = std::max(model.widest_ffn, shared + active * width);
}

}  // namespace plimsoll
