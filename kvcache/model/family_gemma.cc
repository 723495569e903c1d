// Gemma 1 to 3, text models: wide heads, a tied embedding, and from Gemma 2 on four norms a layer
// and windows in most layers.
#include <algorithm>
#include <cmath>

#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {
namespace {

constexpr DecoderDefaults kGemmaDefaults = {.kv_heads = 16,
                                            .head_dim = 256,
                                            .tied_embeddings = true,
                                            .activation_field = "hidden_activation",
                                            .activation = Activation::kGeluTanh};

void ReadGemmaDecoder(ConfigFields& fields, const DecoderDefaults& defaults, bool head_norms,
                      ModelConfig& model) {
  ReadDecoder(fields, defaults, model);
  const bool bias = fields.Flag("attention_bias", false);
  AddAttention(model, {.qkv_bias = bias, .output_bias = bias, .head_norms = head_norms});
  AddGatedMlp(model, {.width = model.intermediate_size}, AllLayers(model));
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  model.norm_offset = 1;
  model.embedding_scale = std::sqrt(static_cast<double>(model.hidden_size));
}

// Absent: `fallback`. Null: none.
std::optional<double> ReadCap(ConfigFields& fields, std::string_view name, double fallback) {
  if (fields.IsNull(name)) return std::nullopt;
  return fields.Positive(name, fallback);
}

// All layers slide but each `period`-th, counted from one.
LayerList AllButEach(int64_t period, const ModelConfig& model) {
  LayerList sliding = AllLayers(model);
  std::erase_if(sliding, [&](int32_t layer) { return (layer + 1) % period == 0; });
  return sliding;
}

}  // namespace

void ReadGemma(ConfigFields& fields, ModelConfig& model) {
  ReadGemmaDecoder(fields, kGemmaDefaults, /*head_norms=*/false, model);
}

void ReadGemma2(ConfigFields& fields, ModelConfig& model) {
  DecoderDefaults defaults = kGemmaDefaults;
  defaults.kv_heads = 4;
  ReadGemmaDecoder(fields, defaults, /*head_norms=*/false, model);
  AddLayerNorms(model, {"pre_feedforward_layernorm", "post_feedforward_layernorm"});
  SetWindow(model, SlidingLayers(fields, model).value_or(AllButEach(2, model)),
            fields.CountOrNull("sliding_window", kMaxContext, 4096));
  model.attention_scale = 1 / std::sqrt(fields.Positive("query_pre_attn_scalar", 256));
  model.attention_softcap = ReadCap(fields, "attn_logit_softcapping", 50);
  model.final_softcap = ReadCap(fields, "final_logit_softcapping", 30);
}

void ReadGemma3(ConfigFields& fields, ModelConfig& model) {
  DecoderDefaults defaults = kGemmaDefaults;
  defaults.kv_heads = 4;
  defaults.heads = 8;
  defaults.vocabulary = 262208;
  defaults.context = 131072;
  defaults.rope_theta = 1e6;
  ReadGemmaDecoder(fields, defaults, /*head_norms=*/true, model);
  AddLayerNorms(model, {"pre_feedforward_layernorm", "post_feedforward_layernorm"});
  const int64_t period = fields.Count("sliding_window_pattern", kMaxLayers, 6);
  SetWindow(model, SlidingLayers(fields, model).value_or(AllButEach(period, model)),
            fields.CountOrNull("sliding_window", kMaxContext, 4096));
}

}  // namespace plimsoll
