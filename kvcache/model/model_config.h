// What sizing and decoding need of a model, as read from a Hugging Face config.json.
//
// Everything is already decided here: defaults applied, heads divided, layers told apart, names of
// tensors spelled out. Counts are positive and bounded by the reader, so that no product of two of
// them overflows; nothing downstream guesses.
//
// Threads: a value. Cost: a few strings and vectors. Errors: none; see config_reader.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/extent.h"
#include "kvcache/model/stored_checkpoint.h"

namespace plimsoll {

// What a tensor is for; quantised formats treat each role differently.
enum class TensorRole : uint8_t {
  kEmbedding,  // [vocab, hidden]
  kHead,       // [vocab, hidden], absent when tied to the embedding
  kLinear,     // [out, in], a matrix of a layer
  kExpert,     // [out, in], a matrix of one expert
  kRouter,     // [experts, hidden]
  kNorm,       // [n]
  kBias,       // [n]
  kSmall,      // what else no format quantises: convolutions, decays, sinks, scales
};

// One tensor, or one family of equal tensors.
//
// `name` is the checkpoint's name with "{layer}" and "{expert}" where numbers go. It stands once
// for each entry of `layers` (or once, if the name has no "{layer}"), times `experts`.
struct TensorSpec {
  std::string name;
  TensorRole role;
  std::vector<int64_t> shape;  // as stored, row-major; [out, in] for matrices
  std::vector<int32_t> layers = {};
  int64_t experts = 1;
  int64_t active_experts = 1;  // of `experts`, how many one token uses
  // What a checkpoint stores it in, where that is known to differ from the model's type.
  std::optional<ElementType> stored_as = std::nullopt;
  // Of all copies together, as the files hold them, scales included; only where headers were read.
  // Each of `layers` has the same share.
  std::optional<Bytes> stored_bytes = std::nullopt;
  // How it divides over GPUs that share each layer: the parts of dimension `split_axis`. None:
  // every GPU has it whole.
  size_t split_axis = 0;
  std::vector<SplitPart> split = {};
  // Of the tensors that belong to no layer: needed after the layers rather than before them.
  bool after_layers = false;

  int64_t ElementsOfOne() const;
  int64_t Copies() const;  // layers times experts
  int64_t Elements() const { return ElementsOfOne() * Copies(); }
};

// How one layer remembers tokens.
struct AttentionSpec {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;                             // of K
  int64_t value_dim;                            // of V; other than head_dim only with a latent
  std::optional<Tokens> window = std::nullopt;  // sliding window; none means all tokens
  // Latent attention keeps one vector of this width for all heads together, in place of K and V,
  // which are computed from it. 0: K and V are kept.
  int64_t latent_dim = 0;
  // Sparse attention also keeps a short key by which tokens are chosen, in fp8 with a 4-byte scale
  // whatever the type of K and V. 0: none.
  int64_t index_dim = 0;
  int32_t layer = -1;  // whose it is; set for every model that was read
};

// What one recurrent layer keeps of a sequence, however long it is.
struct RecurrentSpec {
  int64_t conv_elements;   // the last columns that went into the convolution
  int64_t state_elements;  // the state itself
  std::optional<ElementType> state_type = std::nullopt;  // where the file names one
  // How the two divide over GPUs that share the layer; none: every GPU has them whole.
  std::vector<SplitPart> conv_split = {};
  std::vector<SplitPart> state_split = {};
  int32_t layer = -1;  // whose it is
};

// A part of the checkpoint that serving the language model does not load.
struct LeftOut {
  std::string part;                                // "vision tower"
  std::optional<int64_t> elements = std::nullopt;  // where the configuration tells
};

// How the matrices of a quantised checkpoint are stored; weight_bytes.h has the layouts.
enum class StorageFormat : uint8_t {
  kFp8Tensor,    // one scale a matrix
  kFp8Channel,   // one scale a row
  kFp8Block,     // one scale a tile of `group` x `group`
  kInt8Channel,  // one scale a row
  kInt4Packed,   // compressed-tensors: scales of groups
  kGptq,         // scales, zeros and group indices
  kAwq,          // scales and zeros
  kMxfp4,        // experts only, in groups of 32
  kNvfp4,        // groups of 16 and one scale a matrix
  kNf4,          // bitsandbytes, blocks of 64
  kNf4Double,    // the same with quantised scales
  kInt8Outlier,  // bitsandbytes int8
  kEngineInt8,   // as the engine holds them, whatever they were read from
  kEngineInt4,
};

struct QuantizedStorage {
  StorageFormat format;
  int64_t group = 0;  // where the format lets the file choose; 0 there: one group a row
  // The file's own name for its variant of the format: "pack-quantized", "gptq_v2", "gemm".
  std::string variant = {};
  std::vector<std::string> untouched = {};  // modules left in the model's own type
  int64_t matrix_scale = 4;                 // bytes of a scale of a whole matrix
  int64_t input_scale = 0;                  // bytes of each matrix's scale for its inputs
  int64_t kv_scale = 0;                     // bytes of each layer's scale of K, and of that of V
  bool zeros = false;                       // int4-packed: a zero point for each scale
  bool indices = false;                     // int4-packed: the group of each input
  // Modules stored in other formats, and which. Where `rest` is false, those are all that are
  // quantised and the format above means nothing.
  std::vector<QuantizedStorage> apart = {};
  std::vector<std::string> modules = {};  // of one that stands in `apart`
  bool rest = true;
};

enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh };

// Rotary position embedding, half-split as in Hugging Face.
struct RotaryConfig {
  enum class Scaling : uint8_t { kNone, kLinear, kDynamic, kYarn, kLlama3, kLongRope };
  double theta = 10000.0;
  int64_t rotated_dims = 0;  // of head_dim; partial_rotary_factor applied
  Scaling scaling = Scaling::kNone;
  double factor = 1.0;
  double low_freq_factor = 1.0;   // llama3
  double high_freq_factor = 4.0;  // llama3
  double attention_factor = 1.0;  // yarn, longrope: multiplies cos and sin
  double beta_fast = 32.0;        // yarn
  double beta_slow = 1.0;         // yarn
  Tokens original_context = Tokens(0);
  std::vector<double> short_factor = {};  // longrope, one per rotated pair
  std::vector<double> long_factor = {};
};

// Layers in which each token uses some of many gated MLPs.
struct Mixture {
  int64_t experts = 0;
  int64_t active = 0;         // of them, how many a token uses
  int64_t width = 0;          // intermediate values of one
  int64_t shared_width = 0;   // of one more that every token uses; 0: none
  bool renormalised = false;  // the shares of those that a token uses add up to 1
};

struct ModelConfig {
  std::string name;                        // the folder's name, or the file's stem
  std::string architecture;                // "LlamaForCausalLM"
  ElementType dtype = ElementType::kBf16;  // what the checkpoint is stored in
  std::string transformers_version;        // that saved it, where the file says

  int64_t layers = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;  // of one gated MLP, or of one expert
  int64_t widest_ffn = 0;         // intermediate values of one token in the layer with most
  int64_t vocab_size = 0;
  Tokens max_context = Tokens(0);  // max_position_embeddings

  std::vector<AttentionSpec> attention;  // one per layer that keeps K and V
  std::vector<RecurrentSpec> recurrent;  // one per layer that keeps a state
  std::vector<TensorSpec> tensors;       // every tensor of the checkpoint's language model
  std::vector<LeftOut> left_out;         // what else the checkpoint holds
  std::optional<std::string> quantization = std::nullopt;  // a checkpoint stored quantised: how,
  std::optional<QuantizedStorage> storage = std::nullopt;  // and exactly, where that is known
  std::optional<ElementType> kv_type = std::nullopt;       // what the checkpoint scales K and V for
  // What the checkpoint's own files say; only where they were read. They are then the truth of the
  // weights' bytes, and every tensor has its stored_bytes.
  std::optional<StoredCheckpoint> headers = std::nullopt;

  // What only a decoder asks.
  double norm_epsilon = 1e-6;
  Activation activation = Activation::kSilu;
  RotaryConfig rotary;
  bool tied_embeddings = false;
  std::optional<int64_t> eos_token = std::nullopt;
  double norm_offset = 0;      // norms multiply by their gain plus this
  double embedding_scale = 1;  // rounded to the model's type, it multiplies embeddings
  std::optional<double> attention_scale = std::nullopt;  // of q . k; none: 1 / sqrt(head_dim)
  // Each value becomes cap * tanh(value / cap): a score before the softmax, and a logit.
  std::optional<double> attention_softcap = std::nullopt;
  std::optional<double> final_softcap = std::nullopt;
  std::optional<Mixture> mixture = std::nullopt;  // of Mixtral, Qwen2-MoE and Qwen3-MoE

  int64_t Parameters() const;  // unique parameters
  // And those of what is left out, where known; or what the files hold, where headers were read.
  int64_t StoredParameters() const;
  int64_t ActiveParameters() const;  // those one token uses
};

}  // namespace plimsoll
