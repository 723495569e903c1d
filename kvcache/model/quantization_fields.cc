#include "kvcache/model/quantization_fields.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "kvcache/model/quantization_parts.h"

namespace plimsoll {
namespace {

// Patterns with digits are tried on every layer; more of them than this are not read.
constexpr int64_t kMostTrials = int64_t{1} << 14;
constexpr size_t kMostPatterns = 1024;

// A group of -1 is a whole row, which is 0 in QuantizedStorage.
std::optional<int64_t> ReadGroup(ConfigFields& fields) {
  fields.Alias("group_size", "q_group_size");
  if (fields.IsMinusOne("group_size")) return 0;
  return fields.OptionalCount("group_size", kMaxGroup);
}

bool HasFourBits(ConfigFields& fields) {
  fields.Alias("bits", "w_bit");
  return fields.OptionalCount("bits", 16) == 4;
}

// Activations scaled by constants have one for each matrix in the checkpoint.
Storage ReadFp8(ConfigFields& fields, ModelConfig&) {
  const std::vector<int64_t> tile = fields.Indices("weight_block_size", kMaxGroup);
  const std::string scheme = fields.Text("activation_scheme").value_or("dynamic");
  if (!fields.Has("weight_block_size")) {
    if (scheme != "dynamic" && scheme != "static") return std::nullopt;
    return QuantizedStorage{.format = StorageFormat::kFp8Tensor,
                            .input_scale = scheme == "static" ? 4 : 0};
  }
  if (tile.size() != 2 || tile[0] != tile[1] || tile[0] == 0) return std::nullopt;
  return QuantizedStorage{.format = StorageFormat::kFp8Block, .group = tile[0]};
}

Storage ReadGrouped(ConfigFields& fields, StorageFormat format) {
  const std::optional<int64_t> group = ReadGroup(fields);
  if (!HasFourBits(fields) || !group) return std::nullopt;
  return QuantizedStorage{.format = format, .group = *group};
}

Storage ReadGptq(ConfigFields& fields, ModelConfig&) {
  if (fields.Flag("lm_head", false)) return std::nullopt;
  return ReadGrouped(fields, StorageFormat::kGptq);
}

Storage ReadAwq(ConfigFields& fields, ModelConfig&) {
  if (!fields.Flag("zero_point", true)) return std::nullopt;
  return ReadGrouped(fields, StorageFormat::kAwq);
}

Storage ReadBitsAndBytes(ConfigFields& fields, ModelConfig&) {
  fields.Alias("load_in_4bit", "_load_in_4bit");
  fields.Alias("load_in_8bit", "_load_in_8bit");
  if (fields.Flag("load_in_8bit", false)) {
    return QuantizedStorage{.format = StorageFormat::kInt8Outlier};
  }
  if (!fields.Flag("load_in_4bit", false)) return std::nullopt;
  const bool twice = fields.Flag("bnb_4bit_use_double_quant", false);
  return QuantizedStorage{.format = twice ? StorageFormat::kNf4Double : StorageFormat::kNf4};
}

Storage ReadMxfp4(ConfigFields&, ModelConfig&) {
  return QuantizedStorage{.format = StorageFormat::kMxfp4};
}

struct Method {
  std::string_view name;
  Storage (*read)(ConfigFields& fields, ModelConfig& model);
  PatternKind patterns = PatternKind::kExpression;
};

constexpr std::array kMethods = {
    Method{"fp8", ReadFp8},
    Method{"mxfp4", ReadMxfp4},
    Method{"gptq", ReadGptq},
    Method{"awq", ReadAwq},
    Method{"compressed-tensors", ReadCompressedTensors},
    Method{"bitsandbytes", ReadBitsAndBytes},
    Method{"modelopt", ReadModelOpt, PatternKind::kGlob},
    Method{"modelopt_fp4", ReadModelOpt, PatternKind::kGlob},
};

// Modules that keep the model's own type.
std::optional<std::vector<std::string>> Untouched(ConfigFields& fields, PatternKind kind,
                                                  const ModelConfig& model) {
  std::vector<std::string> entries;
  for (const char* const list : {"modules_to_not_convert", "ignore", "ignored_layers",
                                 "llm_int8_skip_modules", "exclude_modules"}) {
    for (std::string& entry : fields.Texts(list)) entries.push_back(std::move(entry));
  }
  return ModulesIn(entries, kind, model);
}

// The name with "*" for the first of its parts that is a number, and whether there is one.
std::pair<std::string, bool> WithoutLayer(const std::string& name) {
  size_t at = 0;
  while (at < name.size()) {
    const size_t end = std::min(name.find('.', at), name.size());
    const std::string_view part = std::string_view(name).substr(at, end - at);
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos) {
      return {name.substr(0, at) + "*" + name.substr(end), true};
    }
    at = end + 1;
  }
  return {name, false};
}

// Files name a module once for each layer; where that is all of the layers, one name says so.
std::vector<std::string> Collapsed(const std::vector<std::string>& names, int64_t layers) {
  std::map<std::string, std::set<std::string>> by_module;
  for (const std::string& name : names) {
    const auto [module, has_layer] = WithoutLayer(name);
    if (has_layer) by_module[module].insert(name);
  }
  std::vector<std::string> collapsed;
  std::set<std::string> said;
  for (const std::string& name : names) {
    const auto [module, has_layer] = WithoutLayer(name);
    const bool all = has_layer && std::ssize(by_module[module]) == layers;
    if (!all) collapsed.push_back(name);
    if (all && said.insert(module).second) collapsed.push_back(module);
  }
  return collapsed;
}

// Later writers say "checkpoint_format", where earlier ones have "format" or, of awq, "version".
std::string Variant(ConfigFields& fields) {
  for (const char* const name : {"checkpoint_format", "format", "version"}) {
    if (fields.IsText(name)) return *fields.Text(name);
  }
  return "";
}

void ReadMethod(const Method& method, ConfigFields& fields, ModelConfig& model) {
  Storage storage = method.read(fields, model);
  if (!storage) return;
  const auto untouched = Untouched(fields, method.patterns, model);
  if (!untouched) return;
  storage->variant = Variant(fields);
  for (QuantizedStorage& each : storage->apart) each.variant = storage->variant;
  storage->untouched = Collapsed(*untouched, model.layers);
  model.storage = std::move(storage);
}

}  // namespace

std::optional<std::vector<std::string>> ModulesIn(const std::vector<std::string>& entries,
                                                  PatternKind kind, const ModelConfig& model) {
  constexpr std::string_view kExpression = "re:";
  std::vector<std::string> modules;
  size_t patterns = 0;
  int64_t trials = 0;
  for (const std::string& entry : entries) {
    const bool expression = kind == PatternKind::kExpression && entry.starts_with(kExpression);
    const bool glob = kind == PatternKind::kGlob && entry.find_first_of("*?") != std::string::npos;
    if (!expression && !glob) {
      modules.push_back(entry);
      continue;
    }
    if (entry.find_first_of("0123456789") != std::string::npos) trials += model.layers;
    if (++patterns > kMostPatterns || trials > kMostTrials) return std::nullopt;
    const std::string_view pattern =
        std::string_view(entry).substr(expression ? kExpression.size() : 0);
    const auto found = ModulesNamed(model, pattern, kind);
    if (!found) return std::nullopt;
    modules.insert(modules.end(), found->begin(), found->end());
  }
  return modules;
}

void ReadQuantization(ConfigFields& fields, ModelConfig& model) {
  const nlohmann::json* const object = fields.Object("quantization_config");
  if (object == nullptr) return;
  ConfigFields inner(*object, "quantization_config.");
  const std::string name = inner.Text("quant_method").value_or("of an unnamed kind");
  model.quantization = name;
  for (const Method& method : kMethods) {
    if (method.name == name) ReadMethod(method, inner, model);
  }
  fields.Fail(inner.status());
}

void ReadQuantizationBeside(ConfigFields& fields, ModelConfig& model) {
  const nlohmann::json* const object = fields.Object("quantization");
  if (object == nullptr) return;
  ConfigFields inner(*object, "quantization.");
  model.quantization = inner.Text("quant_algo");
  if (model.quantization) ReadMethod({"", ReadModelOpt, PatternKind::kGlob}, inner, model);
  fields.Fail(inner.status());
}

}  // namespace plimsoll
