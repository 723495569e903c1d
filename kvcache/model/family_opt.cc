// OPT, BLOOM and Falcon: plain MLPs, norms with biases, embeddings that the head shares.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {
namespace {

constexpr DecoderDefaults kTied = {.context = 2048, .tied_embeddings = true};
constexpr int64_t kUnusedPositions = 2;  // OPT counts positions from 2

// The embedding may be narrower than the layers, with a matrix on either side.
void AddOptEnds(ConfigFields& fields, ModelConfig& model) {
  const int64_t hidden = model.hidden_size;
  const int64_t width = fields.Count("word_embed_proj_dim", kMaxWidth, hidden);
  const Extent words = ByVocabulary(model.vocab_size);
  TensorList ends(model, "model.decoder.");
  ends.Add("embed_tokens.weight", TensorRole::kEmbedding, {words, width});
  ends.Add("embed_positions.weight", TensorRole::kEmbedding,
           {model.max_context.value() + kUnusedPositions, hidden});
  if (width != hidden) ends.Matrix("project_in", hidden, width);
  ends.AfterLayers();
  if (width != hidden) ends.Matrix("project_out", width, hidden);
  const bool norm_first = fields.Flag("do_layer_norm_before", true);
  if (norm_first && !fields.Flag("_remove_final_layer_norm", false)) {
    ends.Norm("final_layer_norm", hidden, true);
  }
  if (model.tied_embeddings) return;
  TensorList head(model, "");
  head.AfterLayers();
  head.Add("lm_head.weight", TensorRole::kHead, {words, width});
}

}  // namespace

void ReadOpt(ConfigFields& fields, ModelConfig& model) {
  fields.Alias("intermediate_size", "ffn_dim");
  ReadWidths(fields, kTied, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  model.widest_ffn = model.intermediate_size;
  const Extent q = AttendWithHidden(fields, kTied, model);
  if (!fields.Flag("layer_norm_elementwise_affine", true)) {
    fields.Refuse("layer_norm_elementwise_affine", "true");
  }
  AddOptEnds(fields, model);
  const bool bias = fields.Flag("enable_bias", true);
  const int64_t hidden = model.hidden_size;
  TensorList layer(model, "model.decoder.layers.{layer}.", AllLayers(model));
  for (const char* const name : {"q_proj", "k_proj", "v_proj"}) {
    layer.Matrix(std::string("self_attn.") + name, q, hidden, bias);
  }
  layer.Matrix("self_attn.out_proj", hidden, q, bias);
  layer.Norm("self_attn_layer_norm", hidden, true);
  layer.Matrix("fc1", ByInner(model.intermediate_size), hidden, bias);
  layer.Matrix("fc2", hidden, ByInner(model.intermediate_size), bias);
  layer.Norm("final_layer_norm", hidden, true);
}

// Published under two spellings of the same fields.
void ReadBloom(ConfigFields& fields, ModelConfig& model) {
  fields.Alias("hidden_size", "n_embed");
  fields.Alias("num_hidden_layers", "n_layer");
  fields.Alias("num_attention_heads", "n_head");
  fields.Alias("max_position_embeddings", "seq_length");
  ReadWidths(fields, kTied, model);
  const Extent q = AttendWithHidden(fields, kTied, model);
  const int64_t hidden = model.hidden_size;
  model.intermediate_size = 4 * hidden;
  model.widest_ffn = model.intermediate_size;
  AddEnds(
      model,
      {.embedding = "transformer.word_embeddings", .norm = "transformer.ln_f", .norm_bias = true});
  TensorList(model, "transformer.").Norm("word_embeddings_layernorm", hidden, true);
  TensorList layer(model, "transformer.h.{layer}.", AllLayers(model));
  layer.Norm("input_layernorm", hidden, true);
  layer.Matrix("self_attention.query_key_value", q + q + q, hidden, true);
  layer.Matrix("self_attention.dense", hidden, q, true);
  layer.Norm("post_attention_layernorm", hidden, true);
  layer.Matrix("mlp.dense_h_to_4h", ByInner(model.intermediate_size), hidden, true);
  layer.Matrix("mlp.dense_4h_to_h", hidden, ByInner(model.intermediate_size), true);
}

// The first architecture has one KV head or as many as heads; the new one as many as it says, and
// two norms side by side before a parallel block.
void ReadFalcon(ConfigFields& fields, ModelConfig& model) {
  ReadWidths(fields, kTied, model);
  const bool grouped = fields.Flag("new_decoder_architecture", false);
  const bool single = fields.Flag("multi_query", true);
  AttentionSpec heads = ReadHeads(fields, kTied, model.hidden_size);
  heads.kv_heads = single ? 1 : heads.heads;
  if (grouped) heads.kv_heads = fields.Count("num_kv_heads", heads.heads, heads.heads);
  if (heads.heads % heads.kv_heads != 0) {
    fields.Refuse("num_kv_heads", "a divisor of " + std::to_string(heads.heads));
  }
  AttendIn(model, AllLayers(model), heads);
  const int64_t hidden = model.hidden_size;
  model.intermediate_size = fields.Count("ffn_hidden_size", kMaxWidth, 4 * hidden);
  model.widest_ffn = model.intermediate_size;
  const bool bias = fields.Flag("bias", false);
  AddEnds(
      model,
      {.embedding = "transformer.word_embeddings", .norm = "transformer.ln_f", .norm_bias = true});
  TensorList layer(model, "transformer.h.{layer}.", AllLayers(model));
  const int64_t norms = grouped ? fields.Count("num_ln_in_parallel_attn", 2, 2) : 1;
  const bool parallel = grouped || fields.Flag("parallel_attn", true);
  layer.Norm(norms == 2 ? "ln_attn" : "input_layernorm", hidden, true);
  if (norms == 2) layer.Norm("ln_mlp", hidden, true);
  if (!parallel) layer.Norm("post_attention_layernorm", hidden, true);
  const Extent q = ByHead(heads.heads, heads.head_dim);
  const Extent kv = ByKvHead(heads.kv_heads, heads.head_dim);
  layer.Matrix("self_attention.query_key_value", q + kv + kv, hidden, bias);
  layer.Matrix("self_attention.dense", hidden, q, bias);
  layer.Matrix("mlp.dense_h_to_4h", ByInner(model.intermediate_size), hidden, bias);
  layer.Matrix("mlp.dense_4h_to_h", hidden, ByInner(model.intermediate_size), bias);
}

}  // namespace plimsoll
