// Qwen3-Next and Qwen3.5: gated delta nets with gated attention in each fourth layer, and an MLP or
// experts in each.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"
#include "kvcache/model/mamba_parts.h"
#include "kvcache/model/qwen_parts.h"

namespace plimsoll {
namespace {

// By layer_types, or each full_attention_interval-th.
LayerList FullLayers(ConfigFields& fields, const ModelConfig& model) {
  if (!fields.Has("layer_types")) {
    const int64_t step = fields.Count("full_attention_interval", kMaxLayers, 4);
    return LayersWhere(model, [&](int32_t layer) { return (layer + 1) % step == 0; });
  }
  return LayersOfKind(fields, "layer_types", "full_attention", "linear_attention", model);
}

DeltaNet ReadDeltaNet(ConfigFields& fields, bool fused) {
  return {.key_heads = fields.Count("linear_num_key_heads", kMaxHeads, 16),
          .value_heads = fields.Count("linear_num_value_heads", kMaxHeads, 32),
          .key_dim = fields.Count("linear_key_head_dim", kMaxHeads, 128),
          .value_dim = fields.Count("linear_value_head_dim", kMaxHeads, 128),
          .kernel = fields.Count("linear_conv_kernel_dim", kMaxKernel, 4),
          .fused = fused};
}

// The matrix of q also makes the gate of what attention puts out.
void AddGatedAttention(ConfigFields& fields, const AttentionSpec& heads, TensorList& list,
                       int64_t hidden) {
  const bool bias = fields.Flag("attention_bias", false);
  const Extent q = ByHead(heads.heads, heads.head_dim);
  const Extent kv = ByKvHead(heads.kv_heads, heads.head_dim);
  list.Matrix("self_attn.q_proj", fields.Flag("attn_output_gate", true) ? q + q : q, hidden, bias);
  list.Matrix("self_attn.k_proj", kv, hidden, bias);
  list.Matrix("self_attn.v_proj", kv, hidden, bias);
  list.Matrix("self_attn.o_proj", hidden, q, bias);
  list.Norm("self_attn.q_norm", heads.head_dim);
  list.Norm("self_attn.k_norm", heads.head_dim);
}

void ReadMixers(ConfigFields& fields, bool fused, ModelConfig& model) {
  const DecoderDefaults defaults{.kv_heads = 2, .head_dim = 256, .context = 32768};
  ReadWidths(fields, defaults, model);
  const AttentionSpec heads = ReadHeads(fields, defaults, model.hidden_size);
  const LayerList full = FullLayers(fields, model);
  const LayerList linear = OtherLayers(model, full);
  AddEnds(model, {});
  TensorList attending(model, "model.layers.{layer}.", full);
  AddGatedAttention(fields, heads, attending, model.hidden_size);
  AttendIn(model, full, heads);
  const DeltaNet net = ReadDeltaNet(fields, fused);
  TensorList scanning(model, "model.layers.{layer}.", linear);
  AddDeltaNet(model, scanning, net);
  RecurrentSpec state = StateOf(net);
  state.state_type = ReadStateType(fields, "mamba_ssm_dtype");
  KeepStateIn(model, linear, state);
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
}

// A block that predicts the token after the next: a layer with full attention, a matrix that joins
// the token's embedding to it, and three norms; an embedding and a head only where the file says
// so.
void LeaveOutPrediction(ConfigFields& fields, int64_t blocks, ModelConfig& model) {
  if (blocks == 0) return;
  LeftOut left{.part = "prediction block"};
  const LayerList full = FullLayers(fields, model);
  if (!full.empty() && !fields.Flag("mtp_use_dedicated_embeddings", false)) {
    const int64_t hidden = model.hidden_size;
    const int64_t layer = ElementsOfLayer(model, full.back());
    const std::optional<int64_t> layers = CheckedProduct({blocks, layer});
    if (layers) left.elements = CheckedAdd(*layers, 2 * hidden * hidden + 3 * hidden);
  }
  model.left_out.push_back(left);
}

}  // namespace

// Its file does not mention the prediction block that its checkpoints have.
void ReadQwen3Next(ConfigFields& fields, ModelConfig& model) {
  ReadMixers(fields, /*fused=*/true, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth, 5632);
  ReadQwenExperts(fields, model, 10);
  LeaveOutPrediction(fields, /*blocks=*/1, model);
}

void ReadQwen35(ConfigFields& fields, ModelConfig& model) {
  ReadMixers(fields, /*fused=*/false, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  AddGatedMlp(model, {.width = model.intermediate_size}, AllLayers(model));
  LeaveOutPrediction(fields, fields.Index("mtp_num_hidden_layers", kMaxLayers, 0), model);
}

void ReadQwen35Moe(ConfigFields& fields, ModelConfig& model) {
  ReadMixers(fields, /*fused=*/false, model);
  ReadQwenExperts(fields, model, 8);
  LeaveOutPrediction(fields, fields.Index("mtp_num_hidden_layers", kMaxLayers, 0), model);
}

}  // namespace plimsoll
