// The parts that decoder-only models are put together from: each family file picks its own.
//
// Names and shapes are those of the Hugging Face checkpoints, so that what is counted is what is
// loaded.
//
// Threads: none. Cost: O(layers). Errors: in the ConfigFields given; what was added to the model
// then means nothing.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvcache/model/config_fields.h"
#include "kvcache/model/model_config.h"
#include "kvcache/model/tensor_list.h"

namespace plimsoll {

// What an architecture assumes where its file is silent.
struct DecoderDefaults {
  std::optional<int64_t> kv_heads = std::nullopt;  // none: as many as heads
  std::optional<int64_t> head_dim = std::nullopt;  // none: hidden_size / heads
  // None of these: the file says.
  std::optional<int64_t> layers = std::nullopt;
  std::optional<int64_t> heads = std::nullopt;
  std::optional<int64_t> vocabulary = std::nullopt;
  std::optional<int64_t> context = std::nullopt;
  bool tied_embeddings = false;
  double norm_epsilon = 1e-6;
  double rope_theta = 10000.0;
  std::string_view activation_field = "hidden_act";
  Activation activation = Activation::kSilu;
};

// Reads what every model has: layers, hidden size, vocabulary, context, type, tying, end token.
void ReadWidths(ConfigFields& fields, const DecoderDefaults& defaults, ModelConfig& model);
// Reads the heads of an attention layer, without a window.
AttentionSpec ReadHeads(ConfigFields& fields, const DecoderDefaults& defaults, int64_t hidden);

// Heads as wide together as the hidden state, in every layer. Returns that width of q, k or v.
Extent AttendWithHidden(ConfigFields& fields, const DecoderDefaults& defaults, ModelConfig& model);

struct EndNames {
  std::string_view embedding = "model.embed_tokens";
  std::string_view norm = "model.norm";
  std::string_view head = "lm_head";
  bool norm_bias = false;
  bool head_bias = false;
};
// Adds embedding, final norm and, unless tied, the head.
void AddEnds(ModelConfig& model, const EndNames& names);

// All of the above and what decoding needs of a LLaMA-like model: MLP width, norm, activation,
// rotary embedding. Gives every layer full attention.
void ReadDecoder(ConfigFields& fields, const DecoderDefaults& defaults, ModelConfig& model);

LayerList AllLayers(const ModelConfig& model);
// The layers for which `belongs(layer)`.
template <class Predicate>
LayerList LayersWhere(const ModelConfig& model, Predicate belongs) {
  LayerList layers = AllLayers(model);
  std::erase_if(layers, [&](int32_t layer) { return !belongs(layer); });
  return layers;
}
// The entries of a list that has one for each layer; refuses another length.
std::vector<std::string> LayerKinds(ConfigFields& fields, std::string_view name,
                                    const ModelConfig& model);
// Attention like `heads`, or a state like `state`, in each of `layers`.
void AttendIn(ModelConfig& model, const LayerList& layers, AttentionSpec heads);
void KeepStateIn(ModelConfig& model, const LayerList& layers, RecurrentSpec state);
// The layers that are not in `layers`, which is in order.
LayerList OtherLayers(const ModelConfig& model, const LayerList& layers);
// The layers that the list calls `kind`; refuses what is neither that nor `other`.
LayerList LayersOfKind(ConfigFields& fields, std::string_view name, std::string_view kind,
                       std::string_view other, const ModelConfig& model);
// Elements of the tensors of one layer.
int64_t ElementsOfLayer(const ModelConfig& model, int32_t layer);

struct AttentionParts {
  bool qkv_bias = false;
  bool output_bias = false;
  bool head_norms = false;  // a norm over each head of q and of k
};
void AddAttention(ModelConfig& model, const AttentionParts& parts);
// The same for some layers only, under the prefix of `list`.
void AddAttentionOf(TensorList& list, int64_t hidden, const AttentionSpec& heads,
                    const AttentionParts& parts);
// One matrix for q, k and v together.
void AddFusedAttention(ModelConfig& model);

// Norms over the hidden size, one of each name in every layer.
void AddLayerNorms(ModelConfig& model, std::initializer_list<std::string_view> names);

// down(activation(gate(x)) * up(x)), `width` wide, under "model.layers.{layer}.<prefix>.".
struct GatedMlp {
  std::string_view prefix = "mlp";
  int64_t width = 0;
  bool bias = false;
};
void AddGatedMlp(ModelConfig& model, const GatedMlp& mlp, const LayerList& layers);
// Gate and up in one matrix.
void AddFusedGatedMlp(ModelConfig& model);

// A router and `count` gated MLPs, of which each token uses `active`.
struct Experts {
  std::string_view prefix = "mlp";
  std::string_view gate = "gate_proj";
  std::string_view up = "up_proj";
  std::string_view down = "down_proj";
  int64_t count = 0;
  int64_t active = 0;
  int64_t width = 0;
};
void AddExperts(ModelConfig& model, const Experts& experts, const LayerList& layers);

// Gives `layers` a sliding window; a window no smaller than the model's context is none.
void SetWindow(ModelConfig& model, const LayerList& layers, std::optional<int64_t> window);
// The layers that the field layer_types calls sliding, or nullopt where the file has no such
// field. Refuses other kinds than full and sliding attention, and a list of another length.
std::optional<LayerList> SlidingLayers(ConfigFields& fields, const ModelConfig& model);

// Bounds of fields: far above any model, and low enough that no product of them that anyone takes
// leaves 64 bits. CheckSize bounds the two sums that the fields alone do not.
inline constexpr int64_t kMaxLayers = 100'000;
inline constexpr int64_t kMaxWidth = int64_t{1} << 22;
inline constexpr int64_t kMaxHeads = int64_t{1} << 14;
inline constexpr int64_t kMaxExperts = int64_t{1} << 14;
inline constexpr int64_t kMaxVocabulary = int64_t{1} << 24;
inline constexpr int64_t kMaxContext = int64_t{1} << 32;
inline constexpr int64_t kMaxParameters = int64_t{1} << 50;
inline constexpr int64_t kMaxStateElements = int64_t{1} << 40;
inline constexpr int64_t kMaxKvElementsPerToken = int64_t{1} << 26;

// InvalidArgument when parameters, K and V elements per token or state elements exceed the bounds
// above.
absl::Status CheckSize(const ModelConfig& model);

}  // namespace plimsoll
