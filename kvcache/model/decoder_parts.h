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

namespace plimsoll {

// What an architecture assumes where its file is silent.
struct DecoderDefaults {
  std::optional<int64_t> kv_heads = std::nullopt;  // none: as many as heads
  std::optional<int64_t> head_dim = std::nullopt;  // none: hidden_size / heads
  bool tied_embeddings = false;
  double norm_epsilon = 1e-6;
  double rope_theta = 10000.0;
  std::string_view activation_field = "hidden_act";
  Activation activation = Activation::kSilu;
};

// Reads the fields that all families share: widths, heads, vocabulary, context, rotary embedding.
// Adds embedding, final norm and, unless tied, the head; gives every layer full attention.
void ReadDecoder(ConfigFields& fields, const DecoderDefaults& defaults, ModelConfig& model);

using LayerList = std::vector<int32_t>;
LayerList AllLayers(const ModelConfig& model);

struct AttentionParts {
  bool qkv_bias = false;
  bool output_bias = false;
  bool head_norms = false;  // a norm over each head of q and of k
};
void AddAttention(ModelConfig& model, const AttentionParts& parts);
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
inline constexpr int64_t kMaxKvElementsPerToken = int64_t{1} << 26;

// InvalidArgument when parameters or K and V elements per token exceed the bounds above.
absl::Status CheckSize(const ModelConfig& model);

}  // namespace plimsoll
