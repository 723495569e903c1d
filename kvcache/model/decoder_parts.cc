#include "kvcache/model/decoder_parts.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/rotary_fields.h"

namespace plimsoll {
namespace {

// The heads of every layer, in families whose layers are alike.
const AttentionSpec& Heads(const ModelConfig& model) { return model.attention.front(); }

// "model.layers.{layer}.<name>" for each of `layers`.
TensorList InLayers(ModelConfig& model, const LayerList& layers) {
  return {model, "model.layers.{layer}.", layers};
}

Activation ReadActivation(ConfigFields& fields, const DecoderDefaults& defaults) {
  const std::optional<std::string> name = fields.Text(defaults.activation_field);
  if (!name) return defaults.activation;
  if (*name == "silu" || *name == "swish") return Activation::kSilu;
  if (*name == "gelu") return Activation::kGelu;
  if (*name == "gelu_pytorch_tanh" || *name == "gelu_new") return Activation::kGeluTanh;
  fields.Refuse(defaults.activation_field, "silu, gelu or gelu_pytorch_tanh");
  return defaults.activation;
}

ElementType ReadDtype(ConfigFields& fields) {
  const std::string_view name = fields.Has("torch_dtype") ? "torch_dtype" : "dtype";
  const std::optional<std::string> text = fields.Text(name);
  if (!text) return ElementType::kBf16;
  const std::optional<ElementType> type = ElementTypeFromName(*text);
  if (!type || BitsOf(*type) < 16) fields.Refuse(name, "float32, float16 or bfloat16");
  return type.value_or(ElementType::kBf16);
}

// One number or a list of them, of which the first counts here.
std::optional<int64_t> ReadEosToken(ConfigFields& fields) {
  if (!fields.Has("eos_token_id")) return std::nullopt;
  if (!fields.IsList("eos_token_id")) return fields.Index("eos_token_id", kMaxVocabulary, 0);
  const std::vector<int64_t> tokens = fields.Indices("eos_token_id", kMaxVocabulary);
  return tokens.empty() ? std::nullopt : std::optional(tokens.front());
}

// The field, or the architecture's default where it has one.
int64_t CountOr(ConfigFields& fields, std::string_view name, int64_t max,
                std::optional<int64_t> fallback) {
  return fallback ? fields.Count(name, max, *fallback) : fields.Count(name, max);
}

absl::Status TooMuchState() {
  return BadField("state elements of a sequence", "more than 2^40", "fewer");
}

}  // namespace

void ReadWidths(ConfigFields& fields, const DecoderDefaults& defaults, ModelConfig& model) {
  model.dtype = ReadDtype(fields);
  model.layers = CountOr(fields, "num_hidden_layers", kMaxLayers, defaults.layers);
  model.hidden_size = fields.Count("hidden_size", kMaxWidth);
  model.vocab_size = CountOr(fields, "vocab_size", kMaxVocabulary, defaults.vocabulary);
  model.max_context =
      Tokens(CountOr(fields, "max_position_embeddings", kMaxContext, defaults.context));
  model.tied_embeddings = fields.Flag("tie_word_embeddings", defaults.tied_embeddings);
  model.eos_token = ReadEosToken(fields);
}

AttentionSpec ReadHeads(ConfigFields& fields, const DecoderDefaults& defaults, int64_t hidden) {
  const int64_t heads = CountOr(fields, "num_attention_heads", kMaxHeads, defaults.heads);
  const int64_t kv_fallback =
      fields.IsNull("num_key_value_heads") ? heads : defaults.kv_heads.value_or(heads);
  const int64_t kv_heads = fields.Count("num_key_value_heads", kMaxHeads, kv_fallback);
  if (heads % kv_heads != 0) {
    fields.Refuse("num_key_value_heads",
                  "a divisor of num_attention_heads=" + std::to_string(heads));
  }
  const bool has_head_dim = fields.Has("head_dim") || defaults.head_dim.has_value();
  if (!has_head_dim && hidden % heads != 0) {
    fields.Refuse("hidden_size", "a multiple of num_attention_heads=" + std::to_string(heads) +
                                     " where there is no head_dim");
  }
  const int64_t head_dim = fields.Count(
      "head_dim", kMaxHeads, defaults.head_dim.value_or(std::max<int64_t>(hidden / heads, 1)));
  return {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .value_dim = head_dim};
}

Extent AttendWithHidden(ConfigFields& fields, const DecoderDefaults& defaults, ModelConfig& model) {
  const AttentionSpec heads = ReadHeads(fields, defaults, model.hidden_size);
  if (heads.heads * heads.head_dim != model.hidden_size) {
    fields.Refuse("head_dim", "hidden_size / num_attention_heads");
  }
  AttendIn(model, AllLayers(model), heads);
  return ByHead(heads.heads, heads.head_dim);
}

void AddEnds(ModelConfig& model, const EndNames& names) {
  TensorList ends(model, "");
  const std::vector<Extent> table = {ByVocabulary(model.vocab_size), model.hidden_size};
  ends.Add(std::string(names.embedding) + ".weight", TensorRole::kEmbedding, table);
  ends.AfterLayers();
  ends.Norm(names.norm, model.hidden_size, names.norm_bias);
  if (model.tied_embeddings) return;
  const std::string head(names.head);
  ends.Add(head + ".weight", TensorRole::kHead, table);
  if (names.head_bias) ends.Add(head + ".bias", TensorRole::kBias, {table[0]});
}

void ReadDecoder(ConfigFields& fields, const DecoderDefaults& defaults, ModelConfig& model) {
  ReadWidths(fields, defaults, model);
  model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  model.norm_epsilon = fields.Positive("rms_norm_eps", defaults.norm_epsilon);
  model.activation = ReadActivation(fields, defaults);
  const AttentionSpec heads = ReadHeads(fields, defaults, model.hidden_size);
  AttendIn(model, AllLayers(model), heads);
  model.rotary = ReadRotary(fields, model.max_context, heads.head_dim, defaults.rope_theta);
  AddEnds(model, {});
}

LayerList AllLayers(const ModelConfig& model) {
  LayerList layers(static_cast<size_t>(model.layers));
  std::iota(layers.begin(), layers.end(), 0);
  return layers;
}

void AttendIn(ModelConfig& model, const LayerList& layers, AttentionSpec heads) {
  for (const int32_t layer : layers) {
    heads.layer = layer;
    model.attention.push_back(heads);
  }
}

void KeepStateIn(ModelConfig& model, const LayerList& layers, RecurrentSpec state) {
  for (const int32_t layer : layers) {
    state.layer = layer;
    model.recurrent.push_back(state);
  }
}

std::vector<std::string> LayerKinds(ConfigFields& fields, std::string_view name,
                                    const ModelConfig& model) {
  std::vector<std::string> kinds = fields.Texts(name);
  if (std::ssize(kinds) != model.layers) {
    fields.Refuse(name, "one entry for each of num_hidden_layers=" + std::to_string(model.layers));
    kinds.resize(static_cast<size_t>(model.layers));
  }
  return kinds;
}

LayerList OtherLayers(const ModelConfig& model, const LayerList& layers) {
  return LayersWhere(model, [&](int32_t layer) {
    return !std::binary_search(layers.begin(), layers.end(), layer);
  });
}

LayerList LayersOfKind(ConfigFields& fields, std::string_view name, std::string_view kind,
                       std::string_view other, const ModelConfig& model) {
  const std::vector<std::string> kinds = LayerKinds(fields, name, model);
  for (const std::string& each : kinds) {
    if (each == kind || each == other) continue;
    fields.Fail(BadField(name, Excerpt(each), std::string(kind) + " or " + std::string(other)));
  }
  return LayersWhere(model,
                     [&](int32_t layer) { return kinds[static_cast<size_t>(layer)] == kind; });
}

int64_t ElementsOfLayer(const ModelConfig& model, int32_t layer) {
  std::optional<int64_t> sum = 0;
  for (const TensorSpec& tensor : model.tensors) {
    const bool there =
        std::find(tensor.layers.begin(), tensor.layers.end(), layer) != tensor.layers.end();
    const auto elements = CheckedProduct({tensor.ElementsOfOne(), tensor.experts});
    if (there && sum) sum = elements ? CheckedAdd(*sum, *elements) : std::nullopt;
  }
  return sum.value_or(0);  // CheckSize refuses what is too large to count
}

void AddAttentionOf(TensorList& list, int64_t hidden, const AttentionSpec& heads,
                    const AttentionParts& parts) {
  const Extent q = ByHead(heads.heads, heads.head_dim);
  const Extent kv = ByKvHead(heads.kv_heads, heads.head_dim);
  list.Matrix("self_attn.q_proj", q, hidden, parts.qkv_bias);
  list.Matrix("self_attn.k_proj", kv, hidden, parts.qkv_bias);
  list.Matrix("self_attn.v_proj", kv, hidden, parts.qkv_bias);
  list.Matrix("self_attn.o_proj", hidden, q, parts.output_bias);
  if (!parts.head_norms) return;
  list.Norm("self_attn.q_norm", heads.head_dim);
  list.Norm("self_attn.k_norm", heads.head_dim);
}

void AddAttention(ModelConfig& model, const AttentionParts& parts) {
  TensorList list(model, "model.layers.{layer}.", AllLayers(model));
  AddAttentionOf(list, model.hidden_size, Heads(model), parts);
}

void AddFusedAttention(ModelConfig& model) {
  const AttentionSpec& heads = Heads(model);
  const Extent q = ByHead(heads.heads, heads.head_dim);
  const Extent kv = ByKvHead(heads.kv_heads, heads.head_dim);
  TensorList list = InLayers(model, AllLayers(model));
  list.Matrix("self_attn.qkv_proj", q + kv + kv, model.hidden_size);
  list.Matrix("self_attn.o_proj", model.hidden_size, q);
}

void AddLayerNorms(ModelConfig& model, std::initializer_list<std::string_view> names) {
  TensorList list = InLayers(model, AllLayers(model));
  for (const std::string_view name : names) list.Norm(name, model.hidden_size);
}

void AddGatedMlp(ModelConfig& model, const GatedMlp& mlp, const LayerList& layers) {
  if (layers.empty()) return;
  InLayers(model, layers).GatedMlp(mlp.prefix, mlp.width, mlp.bias);
}

void AddFusedGatedMlp(ModelConfig& model) {
  const Extent width = ByInner(model.intermediate_size);
  TensorList list = InLayers(model, AllLayers(model));
  list.Matrix("mlp.gate_up_proj", width + width, model.hidden_size);
  list.Matrix("mlp.down_proj", model.hidden_size, width);
  model.widest_ffn = std::max(model.widest_ffn, model.intermediate_size);
}

void AddExperts(ModelConfig& model, const Experts& experts, const LayerList& layers) {
  if (layers.empty()) return;
  const std::string prefix = std::string(experts.prefix) + ".";
  const int64_t hidden = model.hidden_size;
  const Extent width = ByInner(experts.width);
  TensorList list = InLayers(model, layers);
  list.Add(prefix + "gate.weight", TensorRole::kRouter, {experts.count, hidden});
  const auto add = [&](std::string_view name, const std::vector<Extent>& shape) {
    list.Expert(prefix + "experts.{expert}." + std::string(name) + ".weight", shape, experts.count,
                experts.active);
  };
  add(experts.gate, {width, hidden});
  add(experts.up, {width, hidden});
  add(experts.down, {hidden, width});
  model.widest_ffn = std::max(model.widest_ffn, experts.active * experts.width);
}

void SetWindow(ModelConfig& model, const LayerList& layers, std::optional<int64_t> window) {
  if (!window || Tokens(*window) >= model.max_context) return;
  for (const int32_t layer : layers) {
    model.attention[static_cast<size_t>(layer)].window = Tokens(*window);
  }
}

std::optional<LayerList> SlidingLayers(ConfigFields& fields, const ModelConfig& model) {
  if (!fields.Has("layer_types")) return std::nullopt;
  const std::vector<std::string> types = LayerKinds(fields, "layer_types", model);
  LayerList sliding;
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] == "sliding_attention") sliding.push_back(static_cast<int32_t>(i));
    if (types[i] != "sliding_attention" && types[i] != "full_attention") {
      fields.Fail(
          BadField("layer_types", Excerpt(types[i]), "full_attention or sliding_attention"));
    }
  }
  return sliding;
}

absl::Status CheckSize(const ModelConfig& model) {
  int64_t parameters = 0;
  for (const TensorSpec& tensor : model.tensors) {
    const std::optional<int64_t> all = CheckedProduct({tensor.ElementsOfOne(), tensor.Copies()});
    if (!all || *all > kMaxParameters - parameters) {
      return BadField("parameters", "more than 2^50", "fewer");
    }
    parameters += *all;
  }
  for (const LeftOut& left : model.left_out) {
    if (left.elements.value_or(0) > kMaxParameters) {
      return BadField(left.part, "more than 2^50 elements", "fewer");
    }
  }
  int64_t kv = 0;
  for (const AttentionSpec& layer : model.attention) {
    const int64_t apart = layer.kv_heads * (layer.head_dim + layer.value_dim);
    kv += std::max(apart, layer.latent_dim + layer.index_dim);
  }
  if (kv > kMaxKvElementsPerToken) {
    return BadField("K and V elements per token", kv,
                    "at most " + std::to_string(kMaxKvElementsPerToken));
  }
  int64_t state = 0;
  for (const RecurrentSpec& layer : model.recurrent) {
    if (layer.conv_elements > kMaxStateElements - state) return TooMuchState();
    state += layer.conv_elements;
    if (layer.state_elements > kMaxStateElements - state) return TooMuchState();
    state += layer.state_elements;
  }
  return absl::OkStatus();
}

}  // namespace plimsoll
