// The first GPTs: GPT-2, GPT-J, GPT-NeoX (with Pythia) and MPT. Plain MLPs of two matrices, norms
// and most matrices with biases that no field mentions.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {
namespace {

void AliasGpt2(ConfigFields& fields) {
  fields.Alias("hidden_size", "n_embd");
  fields.Alias("num_hidden_layers", "n_layer");
  fields.Alias("num_attention_heads", "n_head");
  fields.Alias("max_position_embeddings", "n_positions");
  fields.Alias("intermediate_size", "n_inner");
}

// Four times the hidden size where the file does not say.
void ReadMlpWidth(ConfigFields& fields, std::string_view name, ModelConfig& model) {
  model.intermediate_size = fields.Count(name, kMaxWidth, 4 * model.hidden_size);
  model.widest_ffn = model.intermediate_size;
}

}  // namespace

void ReadGpt2(ConfigFields& fields, ModelConfig& model) {
  AliasGpt2(fields);
  const DecoderDefaults defaults{.tied_embeddings = true};
  ReadWidths(fields, defaults, model);
  ReadMlpWidth(fields, "intermediate_size", model);
  const Extent q = AttendWithHidden(fields, defaults, model);
  const int64_t hidden = model.hidden_size;
  AddEnds(model, {.embedding = "transformer.wte", .norm = "transformer.ln_f", .norm_bias = true});
  TensorList(model, "transformer.")
      .Add("wpe.weight", TensorRole::kEmbedding, {model.max_context.value(), hidden});
  TensorList layer(model, "transformer.h.{layer}.", AllLayers(model));
  layer.Norm("ln_1", hidden, true);
  layer.Matrix("attn.c_attn", q + q + q, hidden, true);
  layer.Matrix("attn.c_proj", hidden, q, true);
  layer.Norm("ln_2", hidden, true);
  layer.Matrix("mlp.c_fc", ByInner(model.intermediate_size), hidden, true);
  layer.Matrix("mlp.c_proj", hidden, ByInner(model.intermediate_size), true);
  if (fields.Flag("add_cross_attention", false)) {
    fields.Refuse("add_cross_attention", "false: a decoder alone");
  }
}

// Attention and MLP side by side behind one norm; the head has a bias.
void ReadGptJ(ConfigFields& fields, ModelConfig& model) {
  AliasGpt2(fields);
  ReadWidths(fields, {}, model);
  ReadMlpWidth(fields, "intermediate_size", model);
  const Extent q = AttendWithHidden(fields, {}, model);
  const int64_t hidden = model.hidden_size;
  AddEnds(model, {.embedding = "transformer.wte",
                  .norm = "transformer.ln_f",
                  .norm_bias = true,
                  .head_bias = true});
  TensorList layer(model, "transformer.h.{layer}.", AllLayers(model));
  layer.Norm("ln_1", hidden, true);
  for (const char* const name : {"q_proj", "k_proj", "v_proj"}) {
    layer.Matrix(std::string("attn.") + name, q, hidden);
  }
  layer.Matrix("attn.out_proj", hidden, q);
  layer.Matrix("mlp.fc_in", ByInner(model.intermediate_size), hidden, true);
  layer.Matrix("mlp.fc_out", hidden, ByInner(model.intermediate_size), true);
}

void ReadGptNeoX(ConfigFields& fields, ModelConfig& model) {
  ReadWidths(fields, {.context = 2048}, model);
  ReadMlpWidth(fields, "intermediate_size", model);
  const Extent q = AttendWithHidden(fields, {}, model);
  const int64_t hidden = model.hidden_size;
  const bool bias = fields.Flag("attention_bias", true);
  AddEnds(model, {.embedding = "gpt_neox.embed_in",
                  .norm = "gpt_neox.final_layer_norm",
                  .head = "embed_out",
                  .norm_bias = true});
  TensorList layer(model, "gpt_neox.layers.{layer}.", AllLayers(model));
  layer.Norm("input_layernorm", hidden, true);
  layer.Norm("post_attention_layernorm", hidden, true);
  layer.Matrix("attention.query_key_value", q + q + q, hidden, bias);
  layer.Matrix("attention.dense", hidden, q, bias);
  layer.Matrix("mlp.dense_h_to_4h", ByInner(model.intermediate_size), hidden, true);
  layer.Matrix("mlp.dense_4h_to_h", hidden, ByInner(model.intermediate_size), true);
}

void ReadMpt(ConfigFields& fields, ModelConfig& model) {
  fields.Alias("hidden_size", "d_model");
  fields.Alias("num_hidden_layers", "n_layers");
  fields.Alias("num_attention_heads", "n_heads");
  fields.Alias("max_position_embeddings", "max_seq_len");
  const DecoderDefaults defaults{.tied_embeddings = true};
  ReadWidths(fields, defaults, model);
  const Extent q = AttendWithHidden(fields, defaults, model);
  const int64_t hidden = model.hidden_size;
  model.intermediate_size = hidden * fields.Count("expansion_ratio", 256, 4);
  model.widest_ffn = model.intermediate_size;
  if (!fields.Flag("no_bias", true)) fields.Refuse("no_bias", "true");
  if (const nlohmann::json* const object = fields.Object("attn_config")) {
    ConfigFields inner(*object, "attn_config.");
    if (inner.Text("attn_type").value_or("multihead_attention") != "multihead_attention") {
      inner.Refuse("attn_type", "multihead_attention");
    }
    if (!inner.Flag("alibi", true)) inner.Refuse("alibi", "true");
    if (inner.Flag("qk_ln", false)) inner.Refuse("qk_ln", "false");
    fields.Fail(inner.status());
  }
  AddEnds(model, {.embedding = "transformer.wte", .norm = "transformer.norm_f"});
  TensorList layer(model, "transformer.blocks.{layer}.", AllLayers(model));
  layer.Norm("norm_1", hidden);
  layer.Matrix("attn.Wqkv", q + q + q, hidden);
  layer.Matrix("attn.out_proj", hidden, q);
  layer.Norm("norm_2", hidden);
  layer.Matrix("ffn.up_proj", ByInner(model.intermediate_size), hidden);
  layer.Matrix("ffn.down_proj", hidden, ByInner(model.intermediate_size));
}

}  // namespace plimsoll
