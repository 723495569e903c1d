// Llama 4: experts with a shared one beside them, in every interleave_moe_layer_step-th layer;
// attention in chunks but for each fourth layer.
#include <algorithm>

#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {
namespace {

// Every fourth layer sees all tokens, unless no_rope_layers says which do (0) and do not (1).
LayerList ChunkedLayers(ConfigFields& fields, const ModelConfig& model) {
  if (!fields.Has("no_rope_layers")) {
    const int64_t step = fields.Count("no_rope_layer_interval", kMaxLayers, 4);
    return LayersWhere(model, [&](int32_t layer) { return (layer + 1) % step != 0; });
  }
  std::vector<int64_t> rotated = fields.Indices("no_rope_layers", 1);
  if (std::ssize(rotated) != model.layers) {
    fields.Refuse("no_rope_layers",
                  "one entry for each of num_hidden_layers=" + std::to_string(model.layers));
    rotated.resize(static_cast<size_t>(model.layers));
  }
  return LayersWhere(model,
                     [&](int32_t layer) { return rotated[static_cast<size_t>(layer)] == 1; });
}

LayerList SparseLayers(ConfigFields& fields, const ModelConfig& model) {
  const int64_t step = fields.Count("interleave_moe_layer_step", kMaxLayers, 1);
  if (!fields.Has("moe_layers")) {
    return LayersWhere(model, [&](int32_t layer) { return (layer + 1) % step == 0; });
  }
  const std::vector<int64_t> named = fields.Indices("moe_layers", model.layers - 1);
  return LayersWhere(model, [&](int32_t layer) {
    return std::find(named.begin(), named.end(), layer) != named.end();
  });
}

}  // namespace

void ReadLlama4(ConfigFields& fields, ModelConfig& model) {
  const DecoderDefaults defaults{.kv_heads = 8, .head_dim = 128};
  ReadWidths(fields, defaults, model);
  const int64_t hidden = model.hidden_size;
  const int64_t width = model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const AttentionSpec heads = ReadHeads(fields, defaults, hidden);
  AttendIn(model, AllLayers(model), heads);
  const bool bias = fields.Flag("attention_bias", false);
  AddEnds(model, {});
  AddAttention(model, {.qkv_bias = bias, .output_bias = bias});
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  const LayerList sparse = SparseLayers(fields, model);
  const LayerList dense = OtherLayers(model, sparse);
  if (!dense.empty()) {
    TensorList(model, "model.layers.{layer}.", dense)
        .GatedMlp("feed_forward", fields.Count("intermediate_size_mlp", kMaxWidth));
  }
  const int64_t experts = fields.Count("num_local_experts", kMaxExperts);
  const int64_t active = fields.Count("num_experts_per_tok", experts);
  TensorList layer(model, "model.layers.{layer}.feed_forward.", sparse);
  layer.Add("router.weight", TensorRole::kRouter, {experts, hidden});
  const Extent inner = ByInner(width);
  layer.Expert("experts.gate_up_proj", {hidden, inner + inner}, experts, active);
  layer.Expert("experts.down_proj", {inner, hidden}, experts, active);
  layer.GatedMlp("shared_expert", width);
  model.widest_ffn = std::max(model.widest_ffn, (active + 1) * width);
  SetWindow(model, ChunkedLayers(fields, model),
            fields.CountOrNull("attention_chunk_size", kMaxContext, 8192));
}

}  // namespace plimsoll
