#include "kvcache/model/gguf_model.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/gguf_keys.h"
#include "kvcache/model/gguf_table.h"

namespace plimsoll {
namespace {

enum class Memory : uint8_t { kTokens, kLatent, kState };

struct GgufFamily {
  std::string_view architecture;
  Memory memory = Memory::kTokens;
  // Of so many layers in a row all but the last have a sliding window; 1: every layer has; 0: none,
  // and a file that speaks of a window is refused.
  int64_t window_period = 0;
};

constexpr std::array kFamilies = {
    GgufFamily{"llama"},
    GgufFamily{"qwen2"},
    GgufFamily{"qwen2moe"},
    GgufFamily{"qwen3"},
    GgufFamily{"qwen3moe"},
    GgufFamily{"gemma"},
    GgufFamily{"gemma2", Memory::kTokens, 2},
    GgufFamily{"gemma3", Memory::kTokens, 6},
    GgufFamily{"phi2"},
    GgufFamily{"phi3", Memory::kTokens, 1},
    GgufFamily{"gpt2"},
    GgufFamily{"gptneox"},
    GgufFamily{"falcon"},
    GgufFamily{"mpt"},
    GgufFamily{"bloom"},
    GgufFamily{"stablelm"},
    GgufFamily{"starcoder"},
    GgufFamily{"starcoder2"},
    GgufFamily{"internlm2"},
    GgufFamily{"olmo"},
    GgufFamily{"olmoe"},
    GgufFamily{"granite"},
    GgufFamily{"granitemoe"},
    GgufFamily{"command-r"},
    GgufFamily{"cohere2", Memory::kTokens, 4},
    GgufFamily{"chatglm"},
    GgufFamily{"glm4"},
    GgufFamily{"gpt-oss", Memory::kTokens, 2},
    GgufFamily{"deepseek"},
    GgufFamily{"deepseek2", Memory::kLatent},
    GgufFamily{"mamba", Memory::kState},
};

const GgufFamily* FamilyOf(std::string_view architecture) {
  const auto* const found =
      std::find_if(kFamilies.begin(), kFamilies.end(),
                   [&](const GgufFamily& family) { return family.architecture == architecture; });
  return found == kFamilies.end() ? nullptr : found;
}

// The name of a file's mix of types, by the number that general.file_type has.
constexpr std::array<std::pair<int64_t, std::string_view>, 31> kMixes = {
    {{0, "F32"},      {1, "F16"},      {2, "Q4_0"},    {3, "Q4_1"},    {7, "Q8_0"},
     {8, "Q5_0"},     {9, "Q5_1"},     {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},
     {13, "Q3_K_L"},  {14, "Q4_K_S"},  {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},
     {18, "Q6_K"},    {19, "IQ2_XXS"}, {20, "IQ2_XS"}, {21, "Q2_K_S"}, {22, "IQ3_XS"},
     {23, "IQ3_XXS"}, {24, "IQ1_S"},   {25, "IQ4_NL"}, {26, "IQ3_S"},  {27, "IQ3_M"},
     {28, "IQ2_S"},   {29, "IQ2_M"},   {30, "IQ4_XS"}, {31, "IQ1_M"},  {32, "BF16"},
     {38, "MXFP4"}}};

const StoredTotal& MostBytes(const StoredCheckpoint& headers) {
  return *std::max_element(
      headers.by_type.begin(), headers.by_type.end(),
      [](const StoredTotal& a, const StoredTotal& b) { return a.bytes < b.bytes; });
}

// The type that most bytes have decides what activations are computed in.
void NameMix(const GgufHeader& header, ModelConfig& model) {
  StoredCheckpoint& headers = *model.headers;
  const GgufType& most = *GgufTypeNamed(MostBytes(headers).name);
  model.dtype = most.name == "F32"    ? ElementType::kFp32
                : most.name == "BF16" ? ElementType::kBf16
                                      : ElementType::kFp16;
  headers.stored_as = most.name;
  const std::optional<int64_t> mix = GgufNumber(header, "general.file_type");
  for (const auto& [number, name] : kMixes) {
    if (number == mix) headers.stored_as = name;
  }
  constexpr int64_t kWideBits = 6;
  const bool whole = most.block_elements == 1;
  const bool wide = most.block_bytes * 8 >= kWideBits * most.block_elements;
  headers.width = whole ? model.dtype : wide ? ElementType::kInt8 : ElementType::kInt4;
}

// Refuses a tensor that is there with other rows than the metadata calls for.
absl::Status CheckRows(const GgufTensor* tensor, int64_t rows, std::string_view why) {
  if (tensor == nullptr) return absl::OkStatus();
  const int64_t has = tensor->shape.size() == 2 ? tensor->shape[0] : 0;
  if (has == rows) return absl::OkStatus();
  return Annotate(BadField("rows", has, std::to_string(rows) + ", " + std::string(why)),
                  "tensor " + Excerpt(tensor->name));
}

// The same for one that each layer must have.
absl::Status CheckMatrix(const GgufTable& table, int64_t layer, std::string_view name, int64_t rows,
                         std::string_view why) {
  const GgufTensor* const tensor = table.FindIn(layer, name);
  if (tensor != nullptr) return CheckRows(tensor, rows, why);
  return absl::InvalidArgumentError("tensor blk." + std::to_string(layer) + "." +
                                    std::string(name) + ": missing");
}

// K and V of one layer must be what its tensors compute, in one matrix with Q or apart.
absl::Status CheckAttention(const GgufTable& table, int64_t layer, const AttentionSpec& heads) {
  const int64_t q = heads.heads * heads.head_dim;
  const int64_t k = heads.kv_heads * heads.head_dim;
  const int64_t v = heads.kv_heads * heads.value_dim;
  const GgufTensor* const fused = table.FindIn(layer, "attn_qkv.weight");
  const GgufTensor* const keys = table.FindIn(layer, "attn_k.weight");
  if (fused == nullptr && keys == nullptr) {
    return absl::InvalidArgumentError("tensor blk." + std::to_string(layer) +
                                      ".attn_k.weight: missing, and attn_qkv.weight too");
  }
  PLIMSOLL_RETURN_IF_ERROR(CheckRows(fused, q + k + v, "heads x key length + K + V"));
  PLIMSOLL_RETURN_IF_ERROR(CheckRows(keys, k, "head_count_kv x key_length"));
  return CheckRows(table.FindIn(layer, "attn_v.weight"), v, "head_count_kv x value_length");
}

// Heads of each layer that has any.
void ReadAttention(GgufKeys& keys, const GgufTable& table, ModelConfig& model) {
  const std::vector<int64_t> heads = keys.PerLayer("attention.head_count", model.layers, kMaxHeads);
  std::vector<int64_t> kv_heads = heads;
  if (keys.Has("attention.head_count_kv")) {
    kv_heads = keys.PerLayer("attention.head_count_kv", model.layers, kMaxHeads);
  }
  const int64_t most = std::max<int64_t>(*std::max_element(heads.begin(), heads.end()), 1);
  const int64_t derived = std::max<int64_t>(model.hidden_size / most, 1);
  const int64_t key = keys.Count("attention.key_length", kMaxHeads, derived);
  const int64_t value = keys.Count("attention.value_length", kMaxHeads, derived);
  for (size_t i = 0; i < heads.size() && keys.status().ok(); ++i) {
    if (heads[i] == 0 || kv_heads[i] == 0 || heads[i] % kv_heads[i] != 0) {
      keys.Refuse("attention.head_count", "a multiple of head_count_kv, both above 0");
      return;
    }
    model.attention.push_back({.heads = heads[i],
                               .kv_heads = kv_heads[i],
                               .head_dim = key,
                               .value_dim = value,
                               .layer = static_cast<int32_t>(i)});
    keys.Fail(CheckAttention(table, static_cast<int64_t>(i), model.attention.back()));
  }
}

// The window of each layer that has one, by the file's own list or by the family's rule.
void ReadWindows(GgufKeys& keys, const GgufFamily& family, ModelConfig& model) {
  const int64_t window = keys.Index("attention.sliding_window", kMaxContext, 0);
  if (window == 0 || Tokens(window) >= model.max_context) return;
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  if (keys.IsList(kPattern)) {
    const std::vector<int64_t> sliding = keys.PerLayer(kPattern, model.layers, 1);
    SetWindow(model, LayersWhere(model, [&](int32_t i) { return sliding[size_t(i)] != 0; }),
              window);
    return;
  }
  const int64_t period =
      keys.Count(kPattern, kMaxLayers, std::max<int64_t>(family.window_period, 1));
  if (family.window_period == 0) {
    keys.Refuse("attention.sliding_window", "0, as layers of this architecture have no window");
    return;
  }
  SetWindow(model,
            LayersWhere(model, [&](int32_t i) { return period == 1 || i % period < period - 1; }),
            window);
}

// One vector a token and layer in place of K and V, whatever heads the file computes from it.
void ReadLatent(GgufKeys& keys, const GgufTable& table, ModelConfig& model) {
  const int64_t heads = keys.Count("attention.head_count", kMaxHeads);
  const bool absorbed = keys.Has("attention.key_length_mla");
  const int64_t key =
      keys.Count(absorbed ? "attention.key_length_mla" : "attention.key_length", kMaxHeads);
  const int64_t value =
      keys.Count(absorbed ? "attention.value_length_mla" : "attention.value_length", kMaxHeads);
  const int64_t latent = keys.Count("attention.kv_lora_rank", kMaxWidth) +
                         keys.Count("rope.dimension_count", kMaxHeads);
  for (int64_t i = 0; i < model.layers && keys.status().ok(); ++i) {
    keys.Fail(CheckMatrix(table, i, "attn_kv_a_mqa.weight", latent,
                          "kv_lora_rank + rope.dimension_count"));
    model.attention.push_back({.heads = heads,
                               .kv_heads = heads,
                               .head_dim = key,
                               .value_dim = value,
                               .latent_dim = latent,
                               .layer = static_cast<int32_t>(i)});
  }
}

void ReadStates(GgufKeys& keys, const GgufTable& table, ModelConfig& model) {
  const int64_t inner = keys.Count("ssm.inner_size", kMaxWidth);
  const int64_t state = keys.Count("ssm.state_size", kMaxHeads);
  const int64_t kernel = keys.Count("ssm.conv_kernel", 64);
  for (int64_t i = 0; i < model.layers && keys.status().ok(); ++i) {
    keys.Fail(CheckMatrix(table, i, "ssm_conv1d.weight", inner, "ssm.inner_size"));
    keys.Fail(CheckMatrix(table, i, "ssm_in.weight", 2 * inner, "2 x ssm.inner_size"));
    model.recurrent.push_back(
        {.conv_elements = inner * (kernel - 1),
         .state_elements = inner * state,
         .conv_split = {{.unit = SplitUnit::kInner, .count = inner, .each = kernel - 1}},
         .state_split = {{.unit = SplitUnit::kInner, .count = inner, .each = state}},
         .layer = static_cast<int32_t>(i)});
  }
  model.widest_ffn = inner;
}

// Columns of a matrix, or of each expert's: what goes into it.
int64_t ColumnsOf(const GgufTensor* tensor) {
  return tensor == nullptr || tensor->shape.empty() ? 0 : tensor->shape.back();
}

// Intermediate values of one token, from the matrices that take them in.
void MeasureMlps(const GgufTable& table, int64_t active, ModelConfig& model) {
  for (int64_t i = 0; i < model.layers; ++i) {
    const int64_t dense = ColumnsOf(table.FindIn(i, "ffn_down.weight"));
    const int64_t expert = ColumnsOf(table.FindIn(i, "ffn_down_exps.weight"));
    const int64_t shared = ColumnsOf(table.FindIn(i, "ffn_down_shexp.weight"));
    model.intermediate_size = std::max({model.intermediate_size, dense, expert});
    model.widest_ffn = std::max(model.widest_ffn, dense + active * expert + shared);
  }
}

// The embedding tells the vocabulary, and must be as wide as the metadata says.
absl::Status ReadEnds(const GgufTable& table, ModelConfig& model) {
  const GgufTensor* const embedding = table.Find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return absl::InvalidArgumentError("tensor token_embd.weight: want a matrix");
  }
  if (embedding->shape[1] != model.hidden_size || embedding->shape[0] > kMaxVocabulary) {
    return BadField("tensor token_embd.weight: columns", embedding->shape[1],
                    std::to_string(model.hidden_size) + ", embedding_length");
  }
  model.vocab_size = embedding->shape[0];
  model.tied_embeddings = table.Find("output.weight") == nullptr;
  return absl::OkStatus();
}

void ReadMemory(const GgufFamily& family, const GgufTable& table, GgufKeys& keys,
                ModelConfig& model) {
  if (family.memory == Memory::kLatent) return ReadLatent(keys, table, model);
  if (family.memory == Memory::kState) return ReadStates(keys, table, model);
  ReadAttention(keys, table, model);
  if (keys.status().ok()) ReadWindows(keys, family, model);
}

}  // namespace

absl::StatusOr<ModelConfig> ModelFromGguf(const GgufHeader& header, const std::string& name) {
  const std::string architecture =
      GgufText(header, "general.architecture").value_or("that is not named");
  const GgufFamily* const family = FamilyOf(architecture);
  if (family == nullptr) {
    return absl::InvalidArgumentError("unknown architecture " + Excerpt(architecture));
  }
  GgufKeys keys(header, architecture);
  ModelConfig model;
  model.name = name;
  model.architecture = architecture;
  model.hidden_size = keys.Count("embedding_length", kMaxWidth);
  model.max_context = Tokens(keys.Count("context_length", kMaxContext));
  const int64_t blocks = keys.Count("block_count", kMaxLayers);
  const int64_t prediction = keys.Index("nextn_predict_layers", blocks - 1, 0);
  model.layers = blocks - prediction;
  const int64_t experts = keys.Index("expert_count", kMaxExperts, 0);
  const int64_t active = experts > 0 ? keys.Count("expert_used_count", experts) : 1;
  PLIMSOLL_RETURN_IF_ERROR(keys.status());
  const absl::StatusOr<GgufTable> table = GgufTable::Of(header, blocks);
  if (!table.ok()) return table.status();
  PLIMSOLL_RETURN_IF_ERROR(ReadEnds(*table, model));
  ReadMemory(*family, *table, keys, model);
  PLIMSOLL_RETURN_IF_ERROR(keys.status());
  MeasureMlps(*table, active, model);
  table->AddTo(model.layers, active, model);
  NameMix(header, model);
  model.eos_token = GgufNumber(header, "tokenizer.ggml.eos_token_id");
  PLIMSOLL_RETURN_IF_ERROR(CheckSize(model));
  return model;
}

std::vector<std::string> GgufArchitectures() {
  std::vector<std::string> names;
  for (const GgufFamily& family : kFamilies) names.emplace_back(family.architecture);
  return names;
}

}  // namespace plimsoll
