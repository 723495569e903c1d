#include "kvcache/model/quantization_fields.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace plimsoll {
namespace {

using Storage = std::optional<QuantizedStorage>;

constexpr int64_t kMaxGroup = int64_t{1} << 20;

std::optional<int64_t> ReadGroup(ConfigFields& fields) {
  fields.Alias("group_size", "q_group_size");
  return fields.OptionalCount("group_size", kMaxGroup);
}

bool HasFourBits(ConfigFields& fields) {
  fields.Alias("bits", "w_bit");
  return fields.OptionalCount("bits", 16) == 4;
}

Storage ReadFp8(ConfigFields& fields) {
  const std::vector<int64_t> tile = fields.Indices("weight_block_size", kMaxGroup);
  if (!fields.Has("weight_block_size")) {
    // Activations scaled by constants add those to the checkpoint.
    if (fields.Text("activation_scheme").value_or("dynamic") != "dynamic") return std::nullopt;
    return QuantizedStorage{.format = StorageFormat::kFp8Tensor};
  }
  if (tile.size() != 2 || tile[0] != tile[1] || tile[0] == 0) return std::nullopt;
  return QuantizedStorage{.format = StorageFormat::kFp8Block, .group = tile[0]};
}

Storage ReadGrouped(ConfigFields& fields, StorageFormat format) {
  const std::optional<int64_t> group = ReadGroup(fields);
  if (!HasFourBits(fields) || !group) return std::nullopt;
  return QuantizedStorage{.format = format, .group = *group};
}

Storage ReadGptq(ConfigFields& fields) {
  if (fields.Flag("lm_head", false)) return std::nullopt;
  return ReadGrouped(fields, StorageFormat::kGptq);
}

Storage ReadAwq(ConfigFields& fields) {
  if (!fields.Flag("zero_point", true)) return std::nullopt;
  return ReadGrouped(fields, StorageFormat::kAwq);
}

Storage ReadBitsAndBytes(ConfigFields& fields) {
  fields.Alias("load_in_4bit", "_load_in_4bit");
  fields.Alias("load_in_8bit", "_load_in_8bit");
  if (fields.Flag("load_in_8bit", false)) {
    return QuantizedStorage{.format = StorageFormat::kInt8Outlier};
  }
  if (!fields.Flag("load_in_4bit", false)) return std::nullopt;
  const bool twice = fields.Flag("bnb_4bit_use_double_quant", false);
  return QuantizedStorage{.format = twice ? StorageFormat::kNf4Double : StorageFormat::kNf4};
}

// How compressed-tensors stores the matrices of its one group.
Storage FormatOf(ConfigFields& weights) {
  const std::string kind = weights.Text("type").value_or("int");
  const std::string strategy = weights.Text("strategy").value_or("tensor");
  const std::optional<int64_t> bits = weights.OptionalCount("num_bits", 16);
  if (!weights.Flag("symmetric", true) || weights.Has("actorder")) return std::nullopt;
  if (kind == "int" && bits == 4 && strategy == "group") {
    const std::optional<int64_t> group = ReadGroup(weights);
    if (!group) return std::nullopt;
    return QuantizedStorage{.format = StorageFormat::kInt4Packed, .group = *group};
  }
  if (bits != 8 || strategy != "channel") return std::nullopt;
  return QuantizedStorage{.format = kind == "float" ? StorageFormat::kFp8Channel
                                                    : StorageFormat::kInt8Channel};
}

Storage ReadCompressedTensors(ConfigFields& fields) {
  const nlohmann::json* const groups = fields.Object("config_groups");
  if (groups == nullptr || groups->size() != 1 || !groups->front().is_object()) return std::nullopt;
  ConfigFields group(groups->front(), "config_groups.");
  if (group.Texts("targets") != std::vector<std::string>{"Linear"}) return std::nullopt;
  if (const nlohmann::json* const inputs = group.Object("input_activations")) {
    if (!ConfigFields(*inputs).Flag("dynamic", false)) return std::nullopt;
  }
  const nlohmann::json* const weights = group.Object("weights");
  if (weights == nullptr) return std::nullopt;
  ConfigFields inner(*weights, "config_groups.weights.");
  const Storage storage = FormatOf(inner);
  fields.Fail(group.status());
  fields.Fail(inner.status());
  return storage;
}

Storage ReadMxfp4(ConfigFields&) { return QuantizedStorage{.format = StorageFormat::kMxfp4}; }

constexpr std::array<std::pair<std::string_view, Storage (*)(ConfigFields&)>, 6> kMethods = {
    {{"fp8", ReadFp8},
     {"mxfp4", ReadMxfp4},
     {"gptq", ReadGptq},
     {"awq", ReadAwq},
     {"compressed-tensors", ReadCompressedTensors},
     {"bitsandbytes", ReadBitsAndBytes}}};

// Modules that keep the model's own type. A regular expression may name any, and is not read here.
bool ReadUntouched(ConfigFields& fields, QuantizedStorage& storage) {
  for (const char* const list : {"modules_to_not_convert", "ignore", "llm_int8_skip_modules"}) {
    for (std::string& module : fields.Texts(list)) {
      if (module.starts_with("re:")) return module.find("lm_head") != std::string::npos;
      storage.untouched.push_back(std::move(module));
    }
  }
  return true;
}

}  // namespace

void ReadQuantization(ConfigFields& fields, ModelConfig& model) {
  const nlohmann::json* const object = fields.Object("quantization_config");
  if (object == nullptr) return;
  ConfigFields inner(*object, "quantization_config.");
  const std::string method = inner.Text("quant_method").value_or("of an unnamed kind");
  model.quantization = method;
  for (const auto& [name, read] : kMethods) {
    if (name == method) model.storage = read(inner);
  }
  if (model.storage && !ReadUntouched(inner, *model.storage)) model.storage.reset();
  fields.Fail(inner.status());
}

}  // namespace plimsoll
