// Nemotron-H: one of Mamba 2 (M), attention (*), an MLP (-) or experts (E) in each layer, as a
// string of letters says. And the pruned Llama Nemotrons, whose blocks each have their own shape.
#include <algorithm>
#include <array>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"
#include "kvcache/model/mamba_parts.h"

namespace plimsoll {
namespace {

constexpr std::string_view kLayerPrefix = "backbone.layers.{layer}.";
constexpr std::array<std::pair<std::string_view, char>, 4> kWords = {
    {{"mamba", 'M'}, {"attention", '*'}, {"mlp", '-'}, {"moe", 'E'}}};

// Newer files have a list of words in place of the letters.
std::optional<std::string> PatternOfWords(ConfigFields& fields) {
  if (fields.Has("hybrid_override_pattern") || !fields.Has("layers_block_type")) {
    return std::nullopt;
  }
  std::string letters;
  for (const std::string& kind : fields.Texts("layers_block_type")) {
    const auto word = std::find_if(kWords.begin(), kWords.end(),
                                   [&](const auto& known) { return known.first == kind; });
    if (word == kWords.end()) {
      fields.Fail(BadField("layers_block_type", Excerpt(kind), "mamba, attention, mlp or moe"));
    }
    letters += word == kWords.end() ? ' ' : word->second;
  }
  return letters;
}

std::string ReadPattern(ConfigFields& fields, const std::optional<std::string>& words,
                        const ModelConfig& model) {
  if (words) {
    if (std::ssize(*words) == model.layers) return *words;
    fields.Refuse("layers_block_type",
                  "one word for each of num_hidden_layers=" + std::to_string(model.layers));
  }
  std::string pattern = fields.Text("hybrid_override_pattern").value_or("");
  if (std::ssize(pattern) != model.layers) {
    fields.Refuse("hybrid_override_pattern",
                  "one letter for each of num_hidden_layers=" + std::to_string(model.layers));
  }
  if (pattern.find_first_not_of("M*-E") != std::string::npos) {
    fields.Refuse("hybrid_override_pattern", "letters M, *, - and E");
  }
  pattern.resize(static_cast<size_t>(model.layers));
  return pattern;
}

void AddRecurrent(ConfigFields& fields, const LayerList& layers, ModelConfig& model) {
  if (layers.empty()) return;
  const Mamba2 mamba{.heads = fields.Count("mamba_num_heads", kMaxHeads, 128),
                     .head_dim = fields.Count("mamba_head_dim", kMaxHeads, 64),
                     .groups = fields.Count("n_groups", kMaxHeads, 8),
                     .state = fields.Count("ssm_state_size", kMaxHeads, 128),
                     .kernel = fields.Count("conv_kernel", kMaxKernel, 4),
                     .conv_bias = fields.Flag("use_conv_bias", true),
                     .bias = fields.Flag("use_bias", false)};
  TensorList list(model, std::string(kLayerPrefix), layers);
  AddMamba2(model, list, "mixer.", mamba);
  RecurrentSpec state = StateOf(mamba);
  state.state_type = ReadStateType(fields, "mamba_ssm_cache_dtype");
  KeepStateIn(model, layers, state);
}

void AddAttending(ConfigFields& fields, const LayerList& layers, ModelConfig& model) {
  const AttentionSpec heads = ReadHeads(fields, {.kv_heads = 8}, model.hidden_size);
  const bool bias = fields.Flag("attention_bias", false);
  const Extent q = ByHead(heads.heads, heads.head_dim);
  const Extent kv = ByKvHead(heads.kv_heads, heads.head_dim);
  TensorList list(model, std::string(kLayerPrefix), layers);
  list.Matrix("mixer.q_proj", q, model.hidden_size, bias);
  list.Matrix("mixer.k_proj", kv, model.hidden_size, bias);
  list.Matrix("mixer.v_proj", kv, model.hidden_size, bias);
  list.Matrix("mixer.o_proj", model.hidden_size, q, bias);
  AttendIn(model, layers, heads);
}

// Two matrices, no gate.
void AddMlp(TensorList& list, const std::string& prefix, int64_t width, bool bias,
            ModelConfig& model) {
  list.Matrix(prefix + "up_proj", ByInner(width), model.hidden_size, bias);
  list.Matrix(prefix + "down_proj", model.hidden_size, ByInner(width), bias);
  model.widest_ffn = std::max(model.widest_ffn, width);
}

// Routed experts may work in a narrower, latent space; the shared one never does.
void AddSparse(ConfigFields& fields, const LayerList& layers, bool bias, ModelConfig& model) {
  if (layers.empty()) return;
  const int64_t hidden = model.hidden_size;
  const int64_t experts = fields.Count("n_routed_experts", kMaxExperts);
  const int64_t active = fields.Count("num_experts_per_tok", experts);
  const int64_t width = fields.Count("moe_intermediate_size", kMaxWidth);
  const std::optional<int64_t> latent = fields.OptionalCount("moe_latent_size", kMaxWidth);
  const int64_t inner = latent.value_or(hidden);
  TensorList list(model, std::string(kLayerPrefix) + "mixer.", layers);
  list.Add("gate.weight", TensorRole::kRouter, {experts, hidden});
  list.Add("gate.e_score_correction_bias", TensorRole::kSmall, {experts});
  list.Expert("experts.{expert}.up_proj.weight", {ByInner(width), inner}, experts, active);
  list.Expert("experts.{expert}.down_proj.weight", {inner, ByInner(width)}, experts, active);
  if (latent) {
    list.Matrix("fc1_latent_proj", inner, hidden, bias);
    list.Matrix("fc2_latent_proj", hidden, inner, bias);
  }
  const int64_t shared = fields.Count("moe_shared_expert_intermediate_size", kMaxWidth);
  AddMlp(list, "shared_experts.", shared, bias, model);
  model.widest_ffn = std::max(model.widest_ffn, active * width + shared);
}

}  // namespace

void ReadNemotronH(ConfigFields& fields, ModelConfig& model) {
  fields.Alias("head_dim", "attention_head_dim");
  const std::optional<std::string> words = PatternOfWords(fields);
  DecoderDefaults defaults{.context = 4096};
  if (words && !words->empty()) defaults.layers = std::ssize(*words);
  ReadWidths(fields, defaults, model);
  const std::string pattern = ReadPattern(fields, words, model);
  const auto of_kind = [&](char kind) {
    return LayersWhere(model,
                       [&](int32_t layer) { return pattern[static_cast<size_t>(layer)] == kind; });
  };
  AddEnds(model, {.embedding = "backbone.embeddings", .norm = "backbone.norm_f"});
  TensorList(model, std::string(kLayerPrefix), AllLayers(model)).Norm("norm", model.hidden_size);
  AddRecurrent(fields, of_kind('M'), model);
  AddAttending(fields, of_kind('*'), model);
  const bool bias = fields.Flag("mlp_bias", false);
  if (const LayerList plain = of_kind('-'); !plain.empty()) {
    model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
    TensorList list(model, std::string(kLayerPrefix), plain);
    AddMlp(list, "mixer.", model.intermediate_size, bias, model);
  }
  AddSparse(fields, of_kind('E'), bias, model);
  if (fields.Index("num_nextn_predict_layers", kMaxLayers, 0) > 0) {
    model.left_out.push_back({.part = "prediction block"});
  }
}

}  // namespace plimsoll
