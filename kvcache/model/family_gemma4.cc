// Gemma 4: two shapes of attention, of which the full one may take V from K's matrix; layers that
// share K and V with an earlier one; an MLP with experts beside it; a narrow input to each layer.
#include <algorithm>

#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {
namespace {

struct Gemma4 {
  AttentionSpec sliding;
  AttentionSpec full;
  bool full_takes_v_from_k;
  LayerList sliding_layers;  // in order
  int64_t shared_layers;     // at the end; they have no K and V of their own
  bool attention_bias;
};

Gemma4 ReadGemma4Shape(ConfigFields& fields, const ModelConfig& model) {
  Gemma4 shape{};
  shape.sliding = ReadHeads(fields, {.kv_heads = 4, .head_dim = 256}, model.hidden_size);
  shape.full = shape.sliding;
  const int64_t dim = fields.Count("global_head_dim", kMaxHeads, 512);
  shape.full.head_dim = shape.full.value_dim = dim;
  shape.full_takes_v_from_k = fields.Flag("attention_k_eq_v", false);
  if (shape.full_takes_v_from_k) {
    shape.full.kv_heads =
        fields.Count("num_global_key_value_heads", kMaxHeads, shape.sliding.kv_heads);
  }
  if (shape.full.heads % shape.full.kv_heads != 0) {
    fields.Refuse("num_global_key_value_heads", "a divisor of num_attention_heads");
  }
  const int64_t window = fields.Count("sliding_window", kMaxContext, 512);
  if (Tokens(window) < model.max_context) shape.sliding.window = Tokens(window);
  if (!fields.Has("layer_types")) fields.Refuse("layer_types", "a list of kinds");
  shape.sliding_layers = SlidingLayers(fields, model).value_or(LayerList());
  shape.shared_layers = fields.Index("num_kv_shared_layers", model.layers - 1, 0);
  shape.attention_bias = fields.Flag("attention_bias", false);
  return shape;
}

// Layers of one kind, those with K and V of their own apart from those that share.
void AddGemma4Attention(const Gemma4& shape, bool sliding, bool shared, ModelConfig& model) {
  const LayerList layers = LayersWhere(model, [&](int32_t layer) {
    const LayerList& slide = shape.sliding_layers;
    return std::binary_search(slide.begin(), slide.end(), layer) == sliding &&
           (layer >= model.layers - shape.shared_layers) == shared;
  });
  const AttentionSpec& heads = sliding ? shape.sliding : shape.full;
  const Extent q = ByHead(heads.heads, heads.head_dim);
  const Extent kv = ByKvHead(heads.kv_heads, heads.head_dim);
  TensorList list(model, "model.layers.{layer}.self_attn.", layers);
  list.Matrix("q_proj", q, model.hidden_size, shape.attention_bias);
  list.Matrix("o_proj", model.hidden_size, q, shape.attention_bias);
  list.Norm("q_norm", heads.head_dim);
  if (shared) return;
  list.Matrix("k_proj", kv, model.hidden_size, shape.attention_bias);
  list.Norm("k_norm", heads.head_dim);
  if (sliding || !shape.full_takes_v_from_k) {
    list.Matrix("v_proj", kv, model.hidden_size, shape.attention_bias);
  }
  AttendIn(model, layers, heads);
}

void AddGemma4Mlp(ConfigFields& fields, const Gemma4& shape, ModelConfig& model) {
  const int64_t width = model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const int64_t wide = fields.Flag("use_double_wide_mlp", false) ? 2 * width : width;
  const int64_t first_shared = model.layers - shape.shared_layers;
  AddGatedMlp(model, {.width = width},
              LayersWhere(model, [&](int32_t layer) { return layer < first_shared; }));
  AddGatedMlp(model, {.width = wide},
              LayersWhere(model, [&](int32_t layer) { return layer >= first_shared; }));
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                        "post_feedforward_layernorm"});
}

void AddGemma4Experts(ConfigFields& fields, ModelConfig& model) {
  const int64_t hidden = model.hidden_size;
  const int64_t experts = fields.Count("num_experts", kMaxExperts);
  const int64_t active = fields.Count("top_k_experts", experts);
  const int64_t width = fields.Count("moe_intermediate_size", kMaxWidth);
  const Extent inner = ByInner(width);
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.Add("router.proj.weight", TensorRole::kRouter, {experts, hidden});
  layer.Add("router.scale", TensorRole::kSmall, {hidden});
  layer.Add("router.per_expert_scale", TensorRole::kSmall, {experts});
  layer.Expert("experts.gate_up_proj", {inner + inner, hidden}, experts, active);
  layer.Expert("experts.down_proj", {hidden, inner}, experts, active);
  AddLayerNorms(model, {"post_feedforward_layernorm_1", "post_feedforward_layernorm_2",
                        "pre_feedforward_layernorm_2"});
  model.widest_ffn += active * width;
}

// A second embedding gives each layer a narrow vector for each token.
void AddPerLayerInput(ConfigFields& fields, int64_t width, ModelConfig& model) {
  const int64_t hidden = model.hidden_size;
  const int64_t all = model.layers * width;
  const int64_t vocab = fields.Count("vocab_size_per_layer_input", kMaxVocabulary, 262144);
  TensorList ends(model, "model.");
  ends.Add("embed_tokens_per_layer.weight", TensorRole::kEmbedding, {ByVocabulary(vocab), all});
  ends.Matrix("per_layer_model_projection", all, hidden);
  ends.Norm("per_layer_projection_norm", width);
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.Matrix("per_layer_input_gate", width, hidden);
  layer.Matrix("per_layer_projection", hidden, width);
  layer.Norm("post_per_layer_input_norm", hidden);
}

}  // namespace

void ReadGemma4(ConfigFields& fields, ModelConfig& model) {
  ReadWidths(fields, {.context = 131072, .tied_embeddings = true}, model);
  const Gemma4 shape = ReadGemma4Shape(fields, model);
  AddEnds(model, {});
  for (const bool sliding : {true, false}) {
    for (const bool shared : {true, false}) AddGemma4Attention(shape, sliding, shared, model);
  }
  AddGemma4Mlp(fields, shape, model);
  if (fields.Flag("enable_moe_block", false)) AddGemma4Experts(fields, model);
  const int64_t narrow = fields.Index("hidden_size_per_layer_input", kMaxHeads, 0);
  if (narrow > 0) AddPerLayerInput(fields, narrow, model);
  // One number a layer that multiplies its output: stored, but no parameter.
  model.left_out.push_back({.part = "layer scalars", .elements = model.layers});
}

}  // namespace plimsoll
