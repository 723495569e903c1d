#include "kvcache/sizing/stored_counts.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "kvcache/base/units.h"
#include "kvcache/sizing/untouched_modules.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

// LLaMA's rotary buffers were saved by versions before this one.
constexpr int64_t kVersionWithoutBuffers = 4032;
// Rows of the embedding of Gemma 3 where it stands beside a vision tower.
constexpr int64_t kGemmaWordsWithImages = 262208;

// "4.31.0.dev0" is 4031; nullopt where the file does not say.
std::optional<int64_t> VersionOf(const std::string& text) {
  int64_t major = 0, minor = 0;
  const char* const end = text.data() + text.size();
  const auto dot = std::from_chars(text.data(), end, major);
  if (dot.ec != std::errc() || dot.ptr == end || *dot.ptr != '.') return std::nullopt;
  if (std::from_chars(dot.ptr + 1, end, minor).ec != std::errc()) return std::nullopt;
  const bool sound = major >= 0 && major < 1000 && minor >= 0 && minor < 1000;
  return sound ? std::optional(major * 1000 + minor) : std::nullopt;
}

// Elements of the tensors that one matrix is stored as.
struct MatrixElements {
  int64_t numbers;  // of the matrix itself, as packed
  int64_t scales;
};

MatrixElements ElementsOf(const QuantizedStorage& storage, int64_t outputs, int64_t inputs) {
  const int64_t e = outputs * inputs;
  const int64_t group = storage.group > 0 ? storage.group : std::max<int64_t>(inputs, 1);
  const int64_t groups = CeilDivide(inputs, group);
  const int64_t words = CeilDivide(e, 8), zero_words = CeilDivide(groups * outputs, 8);
  const int64_t input = storage.input_scale > 0 ? 1 : 0;
  switch (storage.format) {
    case StorageFormat::kFp8Tensor:
      return {e, 1 + input};
    case StorageFormat::kFp8Channel:
    case StorageFormat::kInt8Outlier:
    case StorageFormat::kEngineInt8:
    case StorageFormat::kEngineInt4:
      return {e, outputs + input};
    case StorageFormat::kInt8Channel:
      if (IsPacked(storage)) return {outputs * CeilDivide(inputs, 4), groups * outputs + 2};
      return {e, groups * outputs + input};
    case StorageFormat::kFp8Block:
      return {e, groups * CeilDivide(outputs, group)};
    case StorageFormat::kInt4Packed:
      return {words, groups * outputs + 2 + (storage.zeros ? zero_words : 0) +
                         (storage.indices ? inputs : 0)};
    case StorageFormat::kGptq:
      return {words, groups * outputs + zero_words + inputs};
    case StorageFormat::kAwq:
      return {words, groups * outputs + zero_words};
    case StorageFormat::kMxfp4:
      return {CeilDivide(e, 2), outputs * CeilDivide(inputs, 32)};
    case StorageFormat::kNvfp4:
      return {CeilDivide(e, 2), outputs * CeilDivide(inputs, 16) + 1 + input};
    case StorageFormat::kNf4:
      return {CeilDivide(e, 2), CeilDivide(e, 64) + 16};
    case StorageFormat::kNf4Double:
      return {CeilDivide(e, 2), CeilDivide(e, 64) + CeilDivide(e, 64 * 256) + 16 + 256};
  }
  return {e, 0};
}

struct Quantised {
  int64_t packed = 0;  // by how much packing makes elements fewer
  int64_t scales = 0;
};

void Add(const QuantizedStorage& storage, const TensorSpec& tensor, int64_t copies,
         Quantised& sum) {
  const MatrixElements one = ElementsOf(storage, tensor.shape[0], tensor.shape[1]);
  sum.packed += (tensor.ElementsOfOne() - one.numbers) * copies;
  sum.scales += one.scales * copies;
}

// Of the tensor on those of its layers.
void AddOn(std::vector<int32_t> layers, const TensorSpec& tensor, const QuantizedStorage& storage,
           Quantised& sum) {
  if (!IsStoredQuantised(tensor, storage)) return;
  TakeNamed(tensor, storage.untouched, layers);
  for (const QuantizedStorage& format : storage.apart) {
    Add(format, tensor, TakeNamed(tensor, format.modules, layers) * tensor.experts, sum);
  }
  if (storage.rest) Add(storage, tensor, std::ssize(layers) * tensor.experts, sum);
}

// Where a prediction block is a layer like the last one, so are its scales.
Quantised ScalesOf(const ModelConfig& model, const QuantizedStorage& storage) {
  Quantised sum;
  const auto last = static_cast<int32_t>(model.layers - 1);
  const bool predicts = std::any_of(
      model.left_out.begin(), model.left_out.end(),
      [](const LeftOut& left) { return left.part == "prediction block" && left.elements; });
  for (const TensorSpec& tensor : model.tensors) {
    AddOn(tensor.layers.empty() ? std::vector<int32_t>{kNoLayer} : tensor.layers, tensor, storage,
          sum);
    const bool makes_kv =
        tensor.name.ends_with(".k_proj.weight") || tensor.name.ends_with(".v_proj.weight");
    if (storage.kv_scale > 0 && makes_kv) sum.scales += std::ssize(tensor.layers);
    const bool in_last = std::count(tensor.layers.begin(), tensor.layers.end(), last) > 0;
    if (predicts && in_last) AddOn({last}, tensor, storage, sum);
  }
  return sum;
}

void AddQuantised(const ModelConfig& model, StoredCounts& counts) {
  if (!model.quantization) return;
  if (!model.storage) {
    counts.extras.push_back({"scales of " + *model.quantization, std::nullopt, true, false});
    return;
  }
  const Quantised sum = ScalesOf(model, *model.storage);
  if (sum.packed > 0) {
    counts.extras.push_back({"numbers packed into larger ones", -sum.packed, true, false});
  }
  counts.extras.push_back({"scales of quantised matrices", sum.scales, true, false});
}

// Buffers that families' code computes and that some checkpoints hold all the same.
void AddBuffers(const ModelConfig& model, StoredCounts& counts) {
  const auto possible = [&](std::string what, std::optional<int64_t> elements) {
    counts.extras.push_back({std::move(what), elements, /*certain=*/false});
  };
  const int64_t context = model.max_context.value();
  const int64_t dim = model.attention.empty() ? 0 : model.attention[0].head_dim;
  const std::string_view name = model.architecture;
  if (name == "GPT2LMHeadModel" || name == "GPTNeoXForCausalLM") {
    possible("causal masks", CheckedProduct({model.layers, context, context}));
  }
  if (name == "GPTNeoXForCausalLM") possible("rotary buffers", model.layers * (dim / 8));
  if (name == "ChatGLMModel" || name == "ChatGLMForConditionalGeneration") {
    counts.extras.push_back({"rotary buffer", dim / 4});
  }
  const bool new_llama = model.rotary.scaling == RotaryConfig::Scaling::kLlama3 ||
                         VersionOf(model.transformers_version) >= kVersionWithoutBuffers;
  if (name == "LlamaForCausalLM" && !new_llama) {
    possible("rotary buffers", model.layers * (dim / 2));
  }
  const bool has_tower =
      std::any_of(model.left_out.begin(), model.left_out.end(),
                  [](const LeftOut& left) { return left.part == "vision tower"; });
  const bool names_tower =
      name.ends_with("ForConditionalGeneration") && !name.starts_with("ChatGLM");
  if (names_tower && !has_tower) possible("vision tower, which the file does not describe", {});
  // The tower of all Gemma 3 with images is the same, its projector as wide as the model.
  if (name == "Gemma3ForCausalLM" && model.vocab_size == kGemmaWordsWithImages) {
    constexpr int64_t kTower = 416866032;
    constexpr int64_t kWidth = 1152;
    possible("vision tower", kTower + kWidth + kWidth * model.hidden_size);
  }
}

void AddTiedHead(const ModelConfig& model, StoredCounts& counts) {
  if (!model.tied_embeddings) return;
  counts.extras.push_back({"output matrix, stored beside the embedding that it is",
                           model.vocab_size * model.hidden_size, /*certain=*/false});
}

void AddUp(StoredCounts& counts) {
  int64_t stored = counts.unique, hub = counts.unique;
  for (const StoredExtra& extra : counts.extras) {
    if (!extra.certain) return;
    stored += extra.elements.value_or(0);
    hub += extra.on_hub ? extra.elements.value_or(0) : 0;
  }
  const bool known =
      std::all_of(counts.extras.begin(), counts.extras.end(),
                  [](const StoredExtra& extra) { return extra.elements.has_value(); });
  if (known) counts.stored = stored;
  const bool shown = std::all_of(
      counts.extras.begin(), counts.extras.end(),
      [](const StoredExtra& extra) { return !extra.on_hub || extra.elements.has_value(); });
  if (shown) counts.hub = hub;
}

// What the files hold is the truth; what it is more than the parameters is named where known.
StoredCounts FromHeaders(const ModelConfig& model, const StoredCheckpoint& files) {
  StoredCounts counts{.unique = model.Parameters()};
  counts.stored = files.all.elements;
  for (const HeaderDifference& difference : files.differences) {
    if (difference.elements == 0) continue;
    const bool beside = difference.kind == HeaderDifference::Kind::kLeftOut ||
                        difference.kind == HeaderDifference::Kind::kStoredTwice ||
                        difference.kind == HeaderDifference::Kind::kUnexpected;
    if (beside) counts.extras.push_back({difference.what, difference.elements});
  }
  if (!model.quantization && files.stored_as.empty()) counts.hub = counts.stored;
  return counts;
}

}  // namespace

StoredCounts CountsOf(const ModelConfig& model) {
  if (model.headers) return FromHeaders(model, *model.headers);
  StoredCounts counts{.unique = model.Parameters()};
  for (const LeftOut& left : model.left_out) counts.extras.push_back({left.part, left.elements});
  AddQuantised(model, counts);
  AddTiedHead(model, counts);
  AddBuffers(model, counts);
  AddUp(counts);
  return counts;
}

}  // namespace plimsoll
