// MiniMax-M2: experts with a correction bias in every layer, norms over the whole of q and of k.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {

void ReadMiniMaxM2(ConfigFields& fields, ModelConfig& model) {
  ReadWidths(fields, {}, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const AttentionSpec heads = ReadHeads(fields, {}, model.hidden_size);
  AttendIn(model, AllLayers(model), heads);
  AddEnds(model, {});
  AddAttention(model, {});
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  const int64_t experts = fields.Count("num_local_experts", kMaxExperts);
  AddExperts(model,
             {.prefix = "block_sparse_moe",
              .gate = "w1",
              .up = "w3",
              .down = "w2",
              .count = experts,
              .active = fields.Count("num_experts_per_tok", experts),
              .width = model.intermediate_size},
             AllLayers(model));
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  if (fields.Flag("use_routing_bias", true)) {
    layer.Add("block_sparse_moe.e_score_correction_bias", TensorRole::kSmall, {experts});
  }
  if (fields.Index("shared_intermediate_size", kMaxWidth, 0) != 0) {
    fields.Refuse("shared_intermediate_size", "0");
  }
  if (!fields.Flag("use_qk_norm", true)) return;
  if (fields.Text("qk_norm_type").value_or("per_layer") != "per_layer") {
    fields.Refuse("qk_norm_type", "per_layer");
  }
  layer.Norm("self_attn.q_norm", heads.heads * heads.head_dim);
  layer.Norm("self_attn.k_norm", heads.kv_heads * heads.head_dim);
}

}  // namespace plimsoll
