// Checkpoints whose modules are quantised in groups: compressed-tensors and modelopt.
#include <string>
#include <utility>

#include "kvcache/model/quantization_parts.h"

namespace plimsoll {
namespace {

constexpr int64_t kShortScale = 2;  // scales that have the model's own type
constexpr int64_t kWideScale = 4;

Storage IntStorage(ConfigFields& weights, int64_t bits, const std::string& strategy) {
  const std::string order = weights.IsText("actorder") ? *weights.Text("actorder") : "";
  const bool other_order = weights.Has("actorder") && order != "weight" && order != "group";
  const bool zeros = !weights.Flag("symmetric", true);
  if (other_order || (zeros && bits != 4)) return std::nullopt;
  QuantizedStorage storage{.format = StorageFormat::kInt4Packed, .zeros = zeros};
  storage.indices = order == "group";
  if (bits == 8) storage.format = StorageFormat::kInt8Channel;
  if (bits == 8 && storage.indices) return std::nullopt;
  if (bits != 4 && bits != 8) return std::nullopt;
  if (strategy == "channel") return storage;
  if (strategy != "group") return std::nullopt;
  const std::optional<int64_t> group = weights.OptionalCount("group_size", kMaxGroup);
  if (!group) return std::nullopt;
  storage.group = *group;
  return storage;
}

Storage FloatStorage(ConfigFields& weights, int64_t bits, const std::string& strategy) {
  if (!weights.Flag("symmetric", true)) return std::nullopt;
  if (bits == 4 && strategy == "tensor_group") {
    if (weights.OptionalCount("group_size", kMaxGroup) != 16) return std::nullopt;
    return QuantizedStorage{.format = StorageFormat::kNvfp4};
  }
  if (bits != 8) return std::nullopt;
  if (strategy == "channel") return QuantizedStorage{.format = StorageFormat::kFp8Channel};
  if (strategy == "tensor") {
    return QuantizedStorage{.format = StorageFormat::kFp8Tensor, .matrix_scale = kShortScale};
  }
  return std::nullopt;
}

// Adds what the checkpoint holds to scale the inputs of matrices by.
bool AddInputs(ConfigFields& group, QuantizedStorage& storage) {
  const nlohmann::json* const object = group.Object("input_activations");
  if (object == nullptr) return true;
  ConfigFields inputs(*object, "config_groups.input_activations.");
  const bool nvfp4 = storage.format == StorageFormat::kNvfp4;
  const bool dynamic = !inputs.IsText("dynamic") && inputs.Flag("dynamic", false);
  if (nvfp4) storage.input_scale = kWideScale;  // also where the groups' scales are dynamic
  if (!nvfp4 && !dynamic) {
    if (inputs.Text("strategy").value_or("tensor") != "tensor") return false;
    storage.input_scale = kShortScale;
  }
  group.Fail(inputs.status());
  return true;
}

Storage ReadGroup(ConfigFields& group) {
  const nlohmann::json* const object = group.Object("weights");
  if (object == nullptr) return std::nullopt;
  ConfigFields weights(*object, "config_groups.weights.");
  const std::string strategy = weights.Text("strategy").value_or("tensor");
  const int64_t bits = weights.OptionalCount("num_bits", 16).value_or(0);
  const bool real = weights.Text("type").value_or("int") == "float";
  Storage storage =
      real ? FloatStorage(weights, bits, strategy) : IntStorage(weights, bits, strategy);
  group.Fail(weights.status());
  if (storage && !AddInputs(group, *storage)) return std::nullopt;
  return storage;
}

// All linear modules, or those that the group names.
bool AddGroup(ConfigFields& group, const ModelConfig& model, QuantizedStorage& all) {
  Storage storage = ReadGroup(group);
  const std::vector<std::string> targets = group.Texts("targets");
  if (!storage || targets.empty()) return false;
  if (targets == std::vector<std::string>{"Linear"}) {
    if (all.rest) return false;  // two groups for everything
    storage->apart = std::move(all.apart);
    all = *std::move(storage);
    return true;
  }
  const auto modules = ModulesIn(targets, PatternKind::kExpression, model);
  if (!modules) return false;
  storage->modules = *modules;
  all.apart.push_back(*std::move(storage));
  return true;
}

// The scales of an fp8 K and V.
void SetKv(int64_t bytes, ModelConfig& model, QuantizedStorage& storage) {
  model.kv_type = ElementType::kFp8;
  storage.kv_scale = bytes;
}

void ReadKvScheme(ConfigFields& fields, int64_t bytes, ModelConfig& model,
                  QuantizedStorage& storage) {
  const nlohmann::json* const object = fields.Object("kv_cache_scheme");
  if (object == nullptr) return;
  ConfigFields scheme(*object, "kv_cache_scheme.");
  const bool fp8 =
      scheme.OptionalCount("num_bits", 16) == 8 && scheme.Text("type").value_or("float") == "float";
  if (fp8) SetKv(bytes, model, storage);
  fields.Fail(scheme.status());
}

Storage ByAlgorithm(const std::string& algorithm) {
  if (algorithm == "FP8") {
    return QuantizedStorage{.format = StorageFormat::kFp8Tensor, .input_scale = kWideScale};
  }
  if (algorithm == "NVFP4") {
    return QuantizedStorage{.format = StorageFormat::kNvfp4, .input_scale = kWideScale};
  }
  return std::nullopt;
}

// Modules one by one, each with its algorithm.
Storage ReadMixed(ConfigFields& fields) {
  const nlohmann::json* const layers = fields.Object("quantized_layers");
  if (layers == nullptr) return std::nullopt;
  std::vector<std::pair<std::string, QuantizedStorage>> kinds;
  for (const auto& [module, value] : layers->items()) {
    if (!value.is_object()) return std::nullopt;
    ConfigFields layer(value, "quantized_layers.");
    const std::string algorithm = layer.Text("quant_algo").value_or("");
    const Storage storage = ByAlgorithm(algorithm);
    fields.Fail(layer.status());
    if (!storage) return std::nullopt;
    size_t kind = 0;
    while (kind < kinds.size() && kinds[kind].first != algorithm) ++kind;
    if (kind == kinds.size()) kinds.emplace_back(algorithm, *storage);
    kinds[kind].second.modules.push_back(module);
  }
  QuantizedStorage all{.format = StorageFormat::kFp8Tensor, .rest = false};
  for (auto& [name, storage] : kinds) all.apart.push_back(std::move(storage));
  if (all.apart.empty()) return std::nullopt;
  return all;
}

}  // namespace

Storage ReadCompressedTensors(ConfigFields& fields, ModelConfig& model) {
  const nlohmann::json* const groups = fields.Object("config_groups");
  if (groups == nullptr || groups->empty()) return std::nullopt;
  QuantizedStorage all{.format = StorageFormat::kFp8Tensor, .rest = false};
  for (const nlohmann::json& object : *groups) {
    if (!object.is_object()) return std::nullopt;
    ConfigFields group(object, "config_groups.");
    const bool known = AddGroup(group, model, all);
    fields.Fail(group.status());
    if (!known) return std::nullopt;
  }
  ReadKvScheme(fields, kShortScale, model, all);
  return all;
}

Storage ReadModelOpt(ConfigFields& fields, ModelConfig& model) {
  const std::string algorithm = fields.Text("quant_algo").value_or("");
  Storage storage = algorithm == "MIXED_PRECISION" ? ReadMixed(fields) : ByAlgorithm(algorithm);
  if (!storage) return std::nullopt;
  ReadKvScheme(fields, kWideScale, model, *storage);
  if (fields.Text("kv_cache_quant_algo").value_or("") == "FP8") {
    SetKv(kWideScale, model, *storage);
  }
  return storage;
}

}  // namespace plimsoll
