#include "kvcache/sizing/gguf_mix.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

using enum GgufFileType;

// Ids of the types that mixes are made of.
enum Id : uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ4_NL = 20,
  IQ4_XS = 23,
  BF16 = 30,
};

struct FileType {
  std::string_view name;
  GgufFileType type;
  Id base;  // of matrices that no rule lifts
  ElementType width;
};

constexpr std::array kFileTypes = {
    FileType{"gguf-f32", kF32, F32, ElementType::kFp32},
    FileType{"gguf-f16", kF16, F16, ElementType::kFp16},
    FileType{"gguf-bf16", kBf16, BF16, ElementType::kBf16},
    FileType{"q8_0", kQ8_0, Q8_0, ElementType::kInt8},
    FileType{"q4_0", kQ4_0, Q4_0, ElementType::kInt4},
    FileType{"q4_1", kQ4_1, Q4_1, ElementType::kInt4},
    FileType{"q5_0", kQ5_0, Q5_0, ElementType::kInt4},
    FileType{"q5_1", kQ5_1, Q5_1, ElementType::kInt4},
    FileType{"q2_k", kQ2K, Q2_K, ElementType::kInt4},
    FileType{"q3_k_s", kQ3KS, Q3_K, ElementType::kInt4},
    FileType{"q3_k_m", kQ3KM, Q3_K, ElementType::kInt4},
    FileType{"q3_k_l", kQ3KL, Q3_K, ElementType::kInt4},
    FileType{"q4_k_s", kQ4KS, Q4_K, ElementType::kInt4},
    FileType{"q4_k_m", kQ4KM, Q4_K, ElementType::kInt4},
    FileType{"q5_k_s", kQ5KS, Q5_K, ElementType::kInt4},
    FileType{"q5_k_m", kQ5KM, Q5_K, ElementType::kInt4},
    FileType{"q6_k", kQ6K, Q6_K, ElementType::kInt8},
    FileType{"iq4_nl", kIq4Nl, IQ4_NL, ElementType::kInt4},
    FileType{"iq4_xs", kIq4Xs, IQ4_XS, ElementType::kInt4},
};

const FileType& RowOf(GgufFileType type) {
  const auto* const row = std::find_if(kFileTypes.begin(), kFileTypes.end(),
                                       [&](const FileType& known) { return known.type == type; });
  PLIMSOLL_CHECK(row != kFileTypes.end(), static_cast<int>(type));
  return *row;
}

// What the rules of a mix look at.
struct Place {
  GgufFileType mix;
  int64_t layer, layers;
  int64_t sharing;  // heads of queries that share one of keys and values
  int64_t experts;
  bool seventy;  // the shape that llama.cpp knows as 70B

  bool IsIn(int64_t part) const { return layer < layers / part; }
  bool WantsMoreBits() const {
    const int64_t eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
  }
};

Id Values(const Place& at, Id base) {
  Id type = base;
  switch (at.mix) {
    case kQ2K:
      type = at.sharing >= 4 ? Q4_K : Q3_K;
      break;
    case kQ3KM:
      type = at.layer < 2 ? Q5_K : Q4_K;
      break;
    case kQ3KL:
      type = Q5_K;
      break;
    case kQ4KS:
      type = at.layer < 4 ? Q5_K : base;
      break;
    case kQ4KM:
    case kQ5KM:
      type = at.WantsMoreBits() ? Q6_K : base;
      break;
    case kIq4Nl:
    case kIq4Xs:
      type = at.sharing >= 4 ? Q5_K : base;
      break;
    default:
      break;
  }
  if (at.seventy && (type == Q3_K || type == Q4_K)) type = Q5_K;
  return at.experts == 8 ? Q8_0 : type;
}

Id SecondOfMlp(const Place& at, Id base) {
  switch (at.mix) {
    case kQ2K:
      return Q3_K;
    case kQ3KM:
      return at.IsIn(16) ? Q5_K : Q4_K;
    case kQ3KL:
      return Q5_K;
    case kQ4KS:
    case kIq4Nl:
    case kIq4Xs:
      return at.IsIn(8) ? Q5_K : base;
    case kQ4KM:
    case kQ5KM:
      return at.WantsMoreBits() ? Q6_K : base;
    default:
      return base;
  }
}

Id OutputOfAttention(const Place& at, Id base) {
  if (at.experts == 8) {
    const bool coarse =
        base == Q2_K || base == Q3_K || base == Q4_K || base == IQ4_NL || base == IQ4_XS;
    return coarse && at.mix != kQ3KL ? Q5_K : base;
  }
  if (at.mix == kQ2K) return Q3_K;
  if (at.mix == kQ3KM) return Q4_K;
  return at.mix == kQ3KL ? Q5_K : base;
}

Id Fused(const Place& at, Id base) {
  if (at.mix == kQ3KM || at.mix == kQ3KL) return Q4_K;
  if (at.mix == kQ4KM) return Q5_K;
  return at.mix == kQ5KM ? Q6_K : base;
}

using Rule = Id (*)(const Place& at, Id base);

Id Keys(const Place& at, Id base) { return at.experts == 8 ? Q8_0 : base; }
Id Unlifted(const Place&, Id base) { return base; }

// By the names that families of models give their matrices.
Rule RuleOf(const TensorSpec& tensor) {
  std::string_view name = tensor.name;
  if (name.ends_with(".weight")) name.remove_suffix(7);
  const auto is = [name](std::initializer_list<std::string_view> ends) {
    return std::any_of(ends.begin(), ends.end(),
                       [name](std::string_view end) { return name.ends_with(end); });
  };
  if (is({"v_proj"})) return Values;
  if (is({"k_proj"})) return Keys;
  if (is({"down_proj", ".w2", "4h_to_h", ".fc2", "mlp.c_proj", "fc_out"})) return SecondOfMlp;
  if (is({"qkv_proj", "query_key_value", "Wqkv", "c_attn"})) return Fused;
  if (is({"o_proj", "attn.out_proj", "attention.dense", "attn.dense", "attn.c_proj"})) {
    return OutputOfAttention;
  }
  return Unlifted;
}

// The output matrix, and the embedding where it serves as one.
Id OutputType(Id base, int64_t columns) {
  if (base == Q8_0 || base == F32 || base == F16 || base == BF16) return base;
  return columns % 256 == 0 ? Q6_K : Q8_0;
}

// Of smaller blocks, where the type's own do not divide the rows.
Id Fitting(Id type, int64_t columns) {
  if (columns % GgufTypeOf(type)->block_elements == 0) return type;
  if (columns % 32 != 0) return F16;
  switch (type) {
    case Q4_K:
      return Q5_0;
    case Q5_K:
      return Q5_1;
    case Q6_K:
      return Q8_0;
    default:
      return IQ4_NL;
  }
}

bool StaysWide(const TensorSpec& tensor) {
  const bool positions = tensor.name.find("wpe") != std::string::npos ||
                         tensor.name.find("embed_positions") != std::string::npos;
  return positions || tensor.shape.size() < 2 || tensor.role == TensorRole::kNorm ||
         tensor.role == TensorRole::kBias || tensor.role == TensorRole::kSmall ||
         tensor.role == TensorRole::kRouter;
}

}  // namespace

std::string NameOf(GgufMix mix) {
  return std::string(RowOf(mix.type).name) + (mix.pure ? "-pure" : "");
}

std::optional<GgufMix> GgufMixFromName(std::string_view name) {
  constexpr std::string_view kPure = "-pure";
  const bool pure = name.ends_with(kPure);
  if (pure) name.remove_suffix(kPure.size());
  for (const FileType& known : kFileTypes) {
    const bool is_short = known.name.starts_with("gguf-") && known.name.substr(5) == name;
    const bool clashes = known.type == kBf16;  // "bf16" is the engine's own
    if (known.name == name || (is_short && !clashes)) return GgufMix{known.type, pure};
  }
  return std::nullopt;
}

std::string GgufMixNames() {
  std::string names;
  for (const FileType& known : kFileTypes) {
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  }
  return names;
}

ElementType WidthOf(GgufMix mix) { return RowOf(mix.type).width; }

GgufLayout::GgufLayout(GgufMix mix, const ModelConfig& model)
    : mix_(mix), tied_(model.tied_embeddings), layers_(model.layers) {
  for (const TensorSpec& tensor : model.tensors) experts_ = std::max(experts_, tensor.experts);
  if (!model.attention.empty()) {
    sharing_ = model.attention[0].heads / model.attention[0].kv_heads;
  }
}

const GgufType& GgufLayout::TypeOf(const TensorSpec& tensor, int32_t layer) const {
  if (StaysWide(tensor)) return *GgufTypeOf(F32);
  const int64_t columns = tensor.shape.back();
  const Id base = RowOf(mix_.type).base;
  if (mix_.pure) return *GgufTypeOf(Fitting(base, columns));
  const bool embeds = tensor.role == TensorRole::kEmbedding;
  if (tensor.role == TensorRole::kHead || (embeds && tied_)) {
    return *GgufTypeOf(Fitting(OutputType(base, columns), columns));
  }
  if (embeds) return *GgufTypeOf(Fitting(base, columns));
  // Mixtures go by the layer's number, others by how many such tensors came before.
  const auto found = std::find(tensor.layers.begin(), tensor.layers.end(), layer);
  const Place at{.mix = mix_.type,
                 .layer = experts_ > 1 ? layer : found - tensor.layers.begin(),
                 .layers = experts_ > 1 ? layers_ : std::ssize(tensor.layers),
                 .sharing = sharing_,
                 .experts = experts_,
                 .seventy = layers_ == 80 && sharing_ > 1};
  return *GgufTypeOf(Fitting(RuleOf(tensor)(at, base), columns));
}

Bytes GgufLayout::BytesOf(const TensorSpec& tensor, std::span<const int64_t> shape,
                          std::span<const int32_t> layers) const {
  int64_t rows = 1;
  for (const int64_t extent : shape.first(shape.size() - 1)) rows *= extent;
  // A part has the type of the whole; where it ends inside a block, it takes all of the block.
  const auto one = [&](int32_t layer) {
    const GgufType& type = TypeOf(tensor, layer);
    return Bytes(CeilDivide(shape.back(), type.block_elements) * type.block_bytes * rows);
  };
  if (tensor.layers.empty()) return one(0);
  Bytes sum(0);
  for (const int32_t layer : layers) sum += one(layer);
  return sum;
}

}  // namespace plimsoll
