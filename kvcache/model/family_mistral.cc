// Mistral, and Mixtral with experts in place of the MLP.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {

void ReadMistral(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, {.kv_heads = 8}, model);
  AddAttention(model, {});
  AddGatedMlp(model, {.width = model.intermediate_size}, AllLayers(model));
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  // A file without the field means a window of 4096; null means none.
  const std::optional<int64_t> window = fields.CountOrNull("sliding_window", kMaxContext, 4096);
  SetWindow(model, SlidingLayers(fields, model).value_or(AllLayers(model)), window);
}

void ReadMixtral(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, {.kv_heads = 8, .norm_epsilon = 1e-5, .rope_theta = 1e6}, model);
  const int64_t experts = fields.Count("num_local_experts", kMaxExperts);
  const int64_t active = fields.Count("num_experts_per_tok", experts);
  AddAttention(model, {});
  AddExperts(model,
             {.prefix = "block_sparse_moe",
              .gate = "w1",
              .up = "w3",
              .down = "w2",
              .count = experts,
              .active = active,
              .width = model.intermediate_size},
             AllLayers(model));
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  SetWindow(model, AllLayers(model), fields.OptionalCount("sliding_window", kMaxContext));
  model.mixture = {
      .experts = experts, .active = active, .width = model.intermediate_size, .renormalised = true};
}

}  // namespace plimsoll
