// Phi-2 with its biases everywhere, Phi-3 and Phi-4 with fused matrices, Phi-3.5-MoE.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {

// Attention and MLP side by side behind one norm.
void ReadPhi(ConfigFields& fields, ModelConfig& model) {
  ReadWidths(fields, {}, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  model.widest_ffn = model.intermediate_size;
  const AttentionSpec heads = ReadHeads(fields, {}, model.hidden_size);
  AttendIn(model, AllLayers(model), heads);
  const int64_t hidden = model.hidden_size;
  const Extent q = ByHead(heads.heads, heads.head_dim);
  const Extent kv = ByKvHead(heads.kv_heads, heads.head_dim);
  AddEnds(model, {.norm = "model.final_layernorm", .norm_bias = true, .head_bias = true});
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.Norm("input_layernorm", hidden, true);
  layer.Matrix("self_attn.q_proj", q, hidden, true);
  layer.Matrix("self_attn.k_proj", kv, hidden, true);
  layer.Matrix("self_attn.v_proj", kv, hidden, true);
  layer.Matrix("self_attn.dense", hidden, q, true);
  layer.Matrix("mlp.fc1", ByInner(model.intermediate_size), hidden, true);
  layer.Matrix("mlp.fc2", hidden, ByInner(model.intermediate_size), true);
  if (!fields.Flag("qk_layernorm", false)) return;
  layer.Norm("self_attn.q_layernorm", heads.head_dim, true);
  layer.Norm("self_attn.k_layernorm", heads.head_dim, true);
}

void ReadPhi3(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, {.norm_epsilon = 1e-5}, model);
  AddFusedAttention(model);
  AddFusedGatedMlp(model);
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  SetWindow(model, SlidingLayers(fields, model).value_or(AllLayers(model)),
            fields.OptionalCount("sliding_window", kMaxContext));
}

void ReadPhiMoe(ConfigFields& fields, ModelConfig& model) {
  ReadWidths(fields, {}, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const AttentionSpec heads = ReadHeads(fields, {.kv_heads = 8}, model.hidden_size);
  AttendIn(model, AllLayers(model), heads);
  AddEnds(model, {.norm_bias = true, .head_bias = fields.Flag("lm_head_bias", false)});
  const bool bias = fields.Flag("attention_bias", false);
  AddAttention(model, {.qkv_bias = bias, .output_bias = bias});
  const int64_t experts = fields.Count("num_local_experts", kMaxExperts, 16);
  AddExperts(model,
             {.prefix = "block_sparse_moe",
              .gate = "w1",
              .up = "w3",
              .down = "w2",
              .count = experts,
              .active = fields.Count("num_experts_per_tok", experts, 2),
              .width = model.intermediate_size},
             AllLayers(model));
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.Norm("input_layernorm", model.hidden_size, true);
  layer.Norm("post_attention_layernorm", model.hidden_size, true);
  SetWindow(model, AllLayers(model), fields.OptionalCount("sliding_window", kMaxContext));
}

}  // namespace plimsoll
