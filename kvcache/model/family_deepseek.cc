// DeepSeek V2, V3 and V3.2, Kimi K2 and GLM-5: latent attention, dense first layers, then experts
// with shared ones beside them; from V3.2 on an indexer that picks the tokens to attend to.
#include <algorithm>

#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {
namespace {

struct Latent {
  int64_t heads;
  std::optional<int64_t> q_rank;
  int64_t kv_rank;
  int64_t nope;
  int64_t rope;
  int64_t value;
};

Latent ReadLatent(ConfigFields& fields) {
  return {.heads = fields.Count("num_attention_heads", kMaxHeads),
          .q_rank = fields.OptionalCount("q_lora_rank", kMaxWidth),
          .kv_rank = fields.Count("kv_lora_rank", kMaxWidth),
          .nope = fields.Count("qk_nope_head_dim", kMaxHeads),
          .rope = fields.Count("qk_rope_head_dim", kMaxHeads),
          .value = fields.Count("v_head_dim", kMaxHeads)};
}

void AddLatentAttention(const Latent& latent, int64_t hidden, bool bias, TensorList& layer) {
  const Extent q = ByHead(latent.heads, latent.nope + latent.rope);
  if (latent.q_rank) {
    layer.Matrix("self_attn.q_a_proj", *latent.q_rank, hidden, bias);
    layer.Norm("self_attn.q_a_layernorm", *latent.q_rank);
    layer.Matrix("self_attn.q_b_proj", q, *latent.q_rank);
  } else {
    layer.Matrix("self_attn.q_proj", q, hidden);
  }
  layer.Matrix("self_attn.kv_a_proj_with_mqa", latent.kv_rank + latent.rope, hidden, bias);
  layer.Norm("self_attn.kv_a_layernorm", latent.kv_rank);
  layer.Matrix("self_attn.kv_b_proj", ByHead(latent.heads, latent.nope + latent.value),
               latent.kv_rank);
  layer.Matrix("self_attn.o_proj", hidden, ByHead(latent.heads, latent.value), bias);
}

// Where indexer_types says "shared", a layer takes the tokens that one before it picked.
LayerList IndexedLayers(ConfigFields& fields, const ModelConfig& model) {
  if (!fields.Has("indexer_types")) {
    if (fields.Count("index_topk_freq", kMaxLayers, 1) != 1) {
      fields.Refuse("indexer_types", "full or shared for each layer, as index_topk_freq is not 1");
    }
    return AllLayers(model);
  }
  return LayersOfKind(fields, "indexer_types", "full", "shared", model);
}

// Its keys are kept for every token, so the layer's memory of a token grows by them.
void AddIndexer(ConfigFields& fields, const Latent& latent, ModelConfig& model) {
  const LayerList layers = IndexedLayers(fields, model);
  TensorList layer(model, "model.layers.{layer}.", layers);
  const int64_t heads = fields.Count("index_n_heads", kMaxHeads);
  const int64_t dim = fields.Count("index_head_dim", kMaxHeads);
  if (!latent.q_rank) fields.Refuse("q_lora_rank", "a whole number, which the indexer reads from");
  layer.Matrix("self_attn.indexer.wq_b", heads * dim, latent.q_rank.value_or(1));
  layer.Matrix("self_attn.indexer.wk", dim, model.hidden_size);
  layer.Norm("self_attn.indexer.k_norm", dim, /*bias=*/true);
  layer.Add("self_attn.indexer.weights_proj.weight", TensorRole::kRouter,
            {heads, model.hidden_size});
  for (const int32_t i : layers) model.attention[static_cast<size_t>(i)].index_dim = dim;
}

LayerList SparseLayers(ConfigFields& fields, const ModelConfig& model) {
  if (fields.Has("mlp_layer_types")) {
    return LayersOfKind(fields, "mlp_layer_types", "sparse", "dense", model);
  }
  const int64_t dense = fields.Index("first_k_dense_replace", kMaxLayers, 0);
  const int64_t step = fields.Count("moe_layer_freq", kMaxLayers, 1);
  return LayersWhere(model, [&](int32_t layer) { return layer >= dense && layer % step == 0; });
}

void AddDenseAndSparse(ConfigFields& fields, bool correction, ModelConfig& model) {
  const LayerList sparse = SparseLayers(fields, model);
  AddGatedMlp(model, {.width = model.intermediate_size}, OtherLayers(model, sparse));
  const int64_t width = fields.Count("moe_intermediate_size", kMaxWidth);
  const int64_t experts = fields.Count("n_routed_experts", kMaxExperts);
  const int64_t active = fields.Count("num_experts_per_tok", experts);
  AddExperts(model, {.count = experts, .active = active, .width = width}, sparse);
  TensorList layer(model, "model.layers.{layer}.", sparse);
  if (correction) {
    layer.Add("mlp.gate.e_score_correction_bias", TensorRole::kSmall, {experts});
    if (!sparse.empty()) model.tensors.back().stored_as = ElementType::kFp32;
  }
  const int64_t shared = fields.Index("n_shared_experts", kMaxExperts, 0);
  if (shared > 0) layer.GatedMlp("mlp.shared_experts", shared * width);
  model.widest_ffn = std::max(model.intermediate_size, (active + shared) * width);
}

// A block that predicts the token after the next: two norms and a matrix that join it to the model,
// a layer like the last one, a norm, and in DeepSeek's files an embedding and a head of its own.
void LeaveOutPrediction(ConfigFields& fields, bool own_ends, ModelConfig& model) {
  const int64_t blocks = fields.Index("num_nextn_predict_layers", kMaxLayers, 0);
  if (blocks == 0) return;
  const int64_t hidden = model.hidden_size;
  const int64_t ends = own_ends ? 2 * model.vocab_size * hidden : 0;
  const int64_t joint = 3 * hidden + 2 * hidden * hidden;
  const int64_t layer = ElementsOfLayer(model, static_cast<int32_t>(model.layers - 1));
  std::optional<int64_t> all = CheckedProduct({blocks, joint + layer + ends});
  if (fields.Has("indexer_types")) all.reset();  // whether it has an indexer is not said
  model.left_out.push_back({.part = "prediction block", .elements = all});
}

struct LatentKind {
  bool correction = true;  // a bias that balances the router
  bool indexer = false;
  bool prediction_has_ends = true;
};

void ReadLatentModel(ConfigFields& fields, const LatentKind& kind, ModelConfig& model) {
  ReadWidths(fields, {}, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const Latent latent = ReadLatent(fields);
  AttendIn(model, AllLayers(model),
           {.heads = latent.heads,
            .kv_heads = latent.heads,
            .head_dim = latent.nope + latent.rope,
            .value_dim = latent.value,
            .latent_dim = latent.kv_rank + latent.rope});
  AddEnds(model, {});
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  AddLatentAttention(latent, model.hidden_size, fields.Flag("attention_bias", false), layer);
  if (kind.indexer) AddIndexer(fields, latent, model);
  AddDenseAndSparse(fields, kind.correction, model);
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  LeaveOutPrediction(fields, kind.prediction_has_ends, model);
}

}  // namespace

void ReadDeepseekV2(ConfigFields& fields, ModelConfig& model) {
  const bool correction = fields.Text("topk_method").value_or("greedy") == "noaux_tc";
  ReadLatentModel(fields, {.correction = correction}, model);
}

void ReadDeepseekV3(ConfigFields& fields, ModelConfig& model) {
  ReadLatentModel(fields, {}, model);
}

void ReadDeepseekV32(ConfigFields& fields, ModelConfig& model) {
  ReadLatentModel(fields, {.indexer = true}, model);
}

void ReadGlmDsa(ConfigFields& fields, ModelConfig& model) {
  ReadLatentModel(fields, {.indexer = true, .prediction_has_ends = false}, model);
}

}  // namespace plimsoll
