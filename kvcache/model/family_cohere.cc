// Command R: attention and MLP side by side behind one norm, a tied embedding. Command R7B adds
// windows in three of four layers.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {
namespace {

AttentionSpec ReadCohereDecoder(ConfigFields& fields, ModelConfig& model) {
  const DecoderDefaults defaults{.context = 8192, .tied_embeddings = true};
  ReadWidths(fields, defaults, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const AttentionSpec heads = ReadHeads(fields, defaults, model.hidden_size);
  AttendIn(model, AllLayers(model), heads);
  AddEnds(model, {});
  const bool bias = fields.Flag("attention_bias", false);
  AddAttention(model, {.qkv_bias = bias, .output_bias = bias});
  AddGatedMlp(model, {.width = model.intermediate_size}, AllLayers(model));
  AddLayerNorms(model, {"input_layernorm"});
  return heads;
}

}  // namespace

void ReadCohere(ConfigFields& fields, ModelConfig& model) {
  const AttentionSpec heads = ReadCohereDecoder(fields, model);
  if (!fields.Flag("use_qk_norm", false)) return;
  TensorList layer(model, "model.layers.{layer}.", AllLayers(model));
  layer.Add("self_attn.q_norm.weight", TensorRole::kNorm, {heads.heads, heads.head_dim});
  layer.Add("self_attn.k_norm.weight", TensorRole::kNorm, {heads.kv_heads, heads.head_dim});
}

void ReadCohere2(ConfigFields& fields, ModelConfig& model) {
  ReadCohereDecoder(fields, model);
  const int64_t period = fields.Count("sliding_window_pattern", kMaxLayers, 4);
  const LayerList sliding =
      LayersWhere(model, [&](int32_t layer) { return (layer + 1) % period != 0; });
  SetWindow(model, SlidingLayers(fields, model).value_or(sliding),
            fields.CountOrNull("sliding_window", kMaxContext, 4096));
}

}  // namespace plimsoll
