// The file types of GGUF: which type each tensor has under a name like "q4_k_m".
//
// A name is a mix, not one type. Tensors of one dimension, routers and what else is small stay in
// F32; the output matrix is lifted to Q6_K; some mixes lift the values of attention and the second
// matrix of the MLP in some layers, so that
//
//   layer i of L is lifted where i < L/8, or i >= 7L/8, or (i - L/8) mod 3 = 2   (whole divisions)
//
// These are llama.cpp's choices without an importance matrix, which may change them, as its options
// do: a "-pure" file has its type throughout. Where a file is at hand its own table tells.
// A tensor whose rows its type's blocks do not divide gets a type of smaller blocks.
//
// Threads: pure. Cost: comparisons of names, and O(layers) for a tensor's bytes. Errors: an unknown
// name is nullopt.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/gguf_types.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

enum class GgufFileType : uint8_t {
  kF32,
  kF16,
  kBf16,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2K,
  kQ3KS,
  kQ3KM,
  kQ3KL,
  kQ4KS,
  kQ4KM,
  kQ5KS,
  kQ5KM,
  kQ6K,
  kIq4Nl,
  kIq4Xs,
};

struct GgufMix {
  GgufFileType type;
  bool pure = false;

  friend bool operator==(const GgufMix&, const GgufMix&) = default;
};

// "q4_k_m", "q4_0-pure", "gguf-f16"; the last is short for what "f16" says too.
std::string NameOf(GgufMix mix);
std::optional<GgufMix> GgufMixFromName(std::string_view name);
std::string GgufMixNames();

// The engine's type of about the same width.
ElementType WidthOf(GgufMix mix);

// One mix laid over one model.
class GgufLayout {
 public:
  // Keeps what it needs of the model.
  GgufLayout(GgufMix mix, const ModelConfig& model);

  // What the copy of `tensor` on `layer` is stored as; any layer will do for a tensor of none.
  const GgufType& TypeOf(const TensorSpec& tensor, int32_t layer) const;

  // One copy of that shape on each of `layers`; one copy, where the tensor belongs to no layer.
  // `shape` has an extent for each of the tensor's and none is larger.
  Bytes BytesOf(const TensorSpec& tensor, std::span<const int64_t> shape,
                std::span<const int32_t> layers) const;

 private:
  GgufMix mix_;
  bool tied_;
  int64_t layers_;
  int64_t sharing_ = 1;  // heads of queries that share one of keys and values
  int64_t experts_ = 1;
};

}  // namespace plimsoll
