// GLM-4: as first published (ChatGLM), as in Hugging Face (Glm), and of 2025-04 (Glm4) with four
// norms a layer.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {
namespace {

AttentionSpec ReadChatGlmHeads(ConfigFields& fields, int64_t hidden) {
  AttentionSpec heads = ReadHeads(fields, {}, hidden);
  const int64_t dim = fields.Count("kv_channels", kMaxHeads, heads.head_dim);
  heads.head_dim = heads.value_dim = dim;
  if (!fields.Flag("multi_query_attention", false)) return heads;
  heads.kv_heads = fields.Count("multi_query_group_num", kMaxHeads, 1);
  if (heads.heads % heads.kv_heads != 0) {
    fields.Refuse("multi_query_group_num", "a divisor of " + std::to_string(heads.heads));
  }
  return heads;
}

void ReadGlmDecoder(ConfigFields& fields, ModelConfig& model) {
  const DecoderDefaults defaults{.kv_heads = 2, .head_dim = 128};
  ReadWidths(fields, defaults, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const AttentionSpec heads = ReadHeads(fields, defaults, model.hidden_size);
  AttendIn(model, AllLayers(model), heads);
  AddEnds(model, {});
  AddAttention(model, {.qkv_bias = fields.Flag("attention_bias", false)});
  AddFusedGatedMlp(model);
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
}

}  // namespace

void ReadChatGlm(ConfigFields& fields, ModelConfig& model) {
  fields.Alias("num_hidden_layers", "num_layers");
  fields.Alias("vocab_size", "padded_vocab_size");
  fields.Alias("intermediate_size", "ffn_hidden_size");
  fields.Alias("max_position_embeddings", "seq_length");
  ReadWidths(fields, {}, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  model.widest_ffn = model.intermediate_size;
  const AttentionSpec heads = ReadChatGlmHeads(fields, model.hidden_size);
  AttendIn(model, AllLayers(model), heads);
  const int64_t hidden = model.hidden_size;
  const bool all = fields.Flag("add_bias_linear", false);
  const bool qkv_bias = fields.Flag("add_qkv_bias", false) || all;
  const bool norm_bias = !fields.Flag("rmsnorm", true);
  if (!fields.Flag("post_layer_norm", true)) fields.Refuse("post_layer_norm", "true");
  AddEnds(model, {.embedding = "transformer.embedding.word_embeddings",
                  .norm = "transformer.encoder.final_layernorm",
                  .head = "transformer.output_layer",
                  .norm_bias = norm_bias});
  TensorList layer(model, "transformer.encoder.layers.{layer}.", AllLayers(model));
  const Extent q = ByHead(heads.heads, heads.head_dim);
  const Extent kv = ByKvHead(heads.kv_heads, heads.head_dim);
  const Extent width = ByInner(model.intermediate_size);
  layer.Norm("input_layernorm", hidden, norm_bias);
  layer.Matrix("self_attention.query_key_value", q + kv + kv, hidden, qkv_bias);
  layer.Matrix("self_attention.dense", hidden, q, all);
  layer.Norm("post_attention_layernorm", hidden, norm_bias);
  layer.Matrix("mlp.dense_h_to_4h", width + width, hidden, all);
  layer.Matrix("mlp.dense_4h_to_h", hidden, width, all);
}

void ReadGlm(ConfigFields& fields, ModelConfig& model) { ReadGlmDecoder(fields, model); }

void ReadGlm4(ConfigFields& fields, ModelConfig& model) {
  ReadGlmDecoder(fields, model);
  AddLayerNorms(model, {"post_self_attn_layernorm", "post_mlp_layernorm"});
}

}  // namespace plimsoll
