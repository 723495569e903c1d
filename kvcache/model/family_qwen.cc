// Qwen 1.5, 2, 2.5 and 3, dense and with experts; MiMo.
#include <algorithm>

#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"
#include "kvcache/model/qwen_parts.h"

namespace plimsoll {
namespace {

constexpr DecoderDefaults kQwenDefaults = {.kv_heads = 32};

// A window counts only with use_sliding_window, and then from layer max_window_layers on.
void ReadWindow(ConfigFields& fields, ModelConfig& model) {
  const std::optional<LayerList> listed = SlidingLayers(fields, model);
  if (!fields.Flag("use_sliding_window", false)) return;
  const int64_t first = fields.Index("max_window_layers", kMaxLayers, 28);
  LayerList sliding = AllLayers(model);
  std::erase_if(sliding, [&](int32_t layer) { return layer < first; });
  SetWindow(model, listed.value_or(sliding),
            fields.CountOrNull("sliding_window", kMaxContext, 4096));
}

// How tokens use the experts that ReadQwenExperts read.
Mixture ReadMixture(ConfigFields& fields, int64_t default_top_k) {
  const int64_t experts = fields.Count("num_experts", kMaxExperts);
  return {.experts = experts,
          .active = fields.Count("num_experts_per_tok", experts, default_top_k),
          .width = fields.Count("moe_intermediate_size", kMaxWidth),
          .shared_width = fields.Index("shared_expert_intermediate_size", kMaxWidth, 0),
          .renormalised = fields.Flag("norm_topk_prob", false)};
}

void AddNorms(ModelConfig& model) {
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
}

}  // namespace

void ReadQwenExperts(ConfigFields& fields, ModelConfig& model, int64_t default_top_k) {
  const int64_t step = fields.Count("decoder_sparse_step", kMaxLayers, 1);
  const std::vector<int64_t> plain = fields.Indices("mlp_only_layers", kMaxLayers);
  LayerList sparse = AllLayers(model);
  LayerList dense;
  const auto is_dense = [&](int32_t layer) {
    return (layer + 1) % step != 0 || std::find(plain.begin(), plain.end(), layer) != plain.end();
  };
  std::copy_if(sparse.begin(), sparse.end(), std::back_inserter(dense), is_dense);
  std::erase_if(sparse, is_dense);
  if (!dense.empty() && model.intermediate_size == 0) {
    fields.Refuse("intermediate_size", "a width for the layers without experts");
  }
  const int64_t experts = fields.Count("num_experts", kMaxExperts);
  AddGatedMlp(model, {.width = model.intermediate_size}, dense);
  AddExperts(model,
             {.count = experts,
              .active = fields.Count("num_experts_per_tok", experts, default_top_k),
              .width = fields.Count("moe_intermediate_size", kMaxWidth)},
             sparse);
  const int64_t shared = fields.Index("shared_expert_intermediate_size", kMaxWidth, 0);
  if (shared == 0) return;
  const int64_t routed = model.widest_ffn;
  AddGatedMlp(model, {.prefix = "mlp.shared_expert", .width = shared}, sparse);
  model.tensors.push_back({.name = "model.layers.{layer}.mlp.shared_expert_gate.weight",
                           .role = TensorRole::kRouter,
                           .shape = {1, model.hidden_size},
                           .layers = sparse});
  model.widest_ffn = std::max(model.intermediate_size, routed + shared);
}

void ReadQwen2(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, kQwenDefaults, model);
  AddAttention(model, {.qkv_bias = true});
  AddGatedMlp(model, {.width = model.intermediate_size}, AllLayers(model));
  AddNorms(model);
  ReadWindow(fields, model);
}

// MiMo: Qwen2 and a block that predicts one token more: a layer, a matrix before it and three
// norms.
void ReadMiMo(ConfigFields& fields, ModelConfig& model) {
  if (!fields.Flag("attention_bias", true)) fields.Refuse("attention_bias", "true");
  ReadQwen2(fields, model);
  const int64_t blocks = fields.Index("num_nextn_predict_layers", kMaxLayers, 0);
  if (blocks == 0) return;
  const int64_t joint = 2 * model.hidden_size * model.hidden_size + 3 * model.hidden_size;
  const int64_t layer = ElementsOfLayer(model, static_cast<int32_t>(model.layers - 1));
  model.left_out.push_back(
      {.part = "prediction block", .elements = CheckedProduct({blocks, joint + layer})});
}

void ReadQwen2Moe(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, {.kv_heads = 16}, model);
  AddAttention(model, {.qkv_bias = fields.Flag("qkv_bias", true)});
  ReadQwenExperts(fields, model, 4);
  model.mixture = ReadMixture(fields, 4);
  AddNorms(model);
  ReadWindow(fields, model);
}

void ReadQwen3(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, {.kv_heads = 32, .head_dim = 128}, model);
  const bool bias = fields.Flag("attention_bias", false);
  AddAttention(model, {.qkv_bias = bias, .output_bias = bias, .head_norms = true});
  AddGatedMlp(model, {.width = model.intermediate_size}, AllLayers(model));
  AddNorms(model);
  ReadWindow(fields, model);
}

void ReadQwen3Moe(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, {.kv_heads = 4}, model);
  const bool bias = fields.Flag("attention_bias", false);
  AddAttention(model, {.qkv_bias = bias, .output_bias = bias, .head_norms = true});
  ReadQwenExperts(fields, model, 8);
  model.mixture = ReadMixture(fields, 8);
  AddNorms(model);
  ReadWindow(fields, model);
}

}  // namespace plimsoll
