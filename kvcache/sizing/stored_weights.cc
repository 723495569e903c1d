// The storage of quantised checkpoints; weight_bytes.h has the formulas.
#include <algorithm>
#include <string_view>

#include "absl/strings/str_split.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

constexpr int64_t kMxfp4Group = 32;
constexpr int64_t kNvfp4Group = 16;
constexpr int64_t kNf4Block = 64;
constexpr int64_t kNf4Nested = 256;        // first scales that share one second scale
constexpr int64_t kNf4Map = 16LL * 4;      // what its 16 codes stand for
constexpr int64_t kNestedMap = 256LL * 4;  // what the codes of the first scales stand for
constexpr int64_t kPackedShape = 2LL * 8;

using Parts = std::vector<std::string>;

Parts PartsOf(const std::string& name) { return absl::StrSplit(name, '.'); }

bool IsNumber(const std::string& part) {
  return !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
}

// The layers of a module that an exception covers. An exception is the module's whole name, its
// end, or the name of something that holds it; a number in it names one layer, a star any.
struct Cover {
  bool all = false;
  int64_t layer = -1;
};

std::optional<Cover> CoverAt(const Parts& module, const Parts& exception, size_t offset) {
  Cover cover{.all = true};
  for (size_t i = 0; i < exception.size(); ++i) {
    const std::string& own = module[offset + i];
    if (own == exception[i] || exception[i] == "*") continue;
    if (own != "{layer}" || !IsNumber(exception[i])) return std::nullopt;
    cover = {.all = false, .layer = std::stoll(exception[i].substr(0, 9))};
  }
  return cover;
}

std::optional<Cover> CoverOf(const Parts& module, const Parts& exception) {
  if (exception.size() > module.size()) return std::nullopt;
  if (const auto whole = CoverAt(module, exception, 0)) return whole;
  return CoverAt(module, exception, module.size() - exception.size());
}

// How many of a tensor's layers keep the model's own type.
int64_t UntouchedLayers(const TensorSpec& tensor, const std::vector<Parts>& exceptions) {
  Parts module = PartsOf(tensor.name);
  if (module.back() == "weight") module.pop_back();
  std::vector<int64_t> layers;
  for (const Parts& exception : exceptions) {
    const std::optional<Cover> cover = CoverOf(module, exception);
    if (cover && cover->all) return std::max<int64_t>(std::ssize(tensor.layers), 1);
    const bool there =
        cover && std::count(tensor.layers.begin(), tensor.layers.end(), cover->layer);
    if (there) layers.push_back(cover->layer);
  }
  std::sort(layers.begin(), layers.end());
  return std::unique(layers.begin(), layers.end()) - layers.begin();
}

bool IsStoredQuantised(const TensorSpec& tensor, const QuantizedStorage& storage) {
  if (storage.format == StorageFormat::kMxfp4) return tensor.role == TensorRole::kExpert;
  return IsMatrix(tensor.role);
}

Bytes Half(int64_t elements) { return Bytes(CeilDivide(elements, 2)); }

}  // namespace

Bytes StoredMatrixBytes(const QuantizedStorage& storage, int64_t outputs, int64_t inputs) {
  const int64_t e = outputs * inputs;
  const int64_t group = std::max<int64_t>(storage.group, 1);
  const int64_t groups = CeilDivide(inputs, group);
  switch (storage.format) {
    case StorageFormat::kFp8Tensor:
      return Bytes(e + 4);
    case StorageFormat::kFp8Channel:
    case StorageFormat::kInt8Channel:
      return Bytes(e + 2 * outputs);
    case StorageFormat::kFp8Block:
      return Bytes(e + 4 * groups * CeilDivide(outputs, group));
    case StorageFormat::kInt4Packed:
      return Half(e) + Bytes(2 * groups * outputs + kPackedShape);
    case StorageFormat::kGptq:
      return Half(e) + Half(groups * outputs) + Bytes(2 * groups * outputs + 4 * inputs);
    case StorageFormat::kAwq:
      return Half(e) + Half(groups * outputs) + Bytes(2 * groups * outputs);
    case StorageFormat::kMxfp4:
      return Half(e) + Bytes(outputs * CeilDivide(inputs, kMxfp4Group));
    case StorageFormat::kNvfp4:
      return Half(e) + Bytes(outputs * CeilDivide(inputs, kNvfp4Group) + 4);
    case StorageFormat::kNf4:
      return Half(e) + Bytes(4 * CeilDivide(e, kNf4Block) + kNf4Map);
    case StorageFormat::kNf4Double:
      return Half(e) + Bytes(CeilDivide(e, kNf4Block) + 4 * CeilDivide(e, kNf4Block * kNf4Nested) +
                             kNf4Map + kNestedMap);
    case StorageFormat::kInt8Outlier:
      return Bytes(e + 4 * outputs);
  }
  return Bytes(0);
}

WeightBytes StoredWeightBytesOf(const ModelConfig& model, const QuantizedStorage& storage) {
  std::vector<Parts> exceptions;
  for (const std::string& module : storage.untouched) exceptions.push_back(PartsOf(module));
  Bytes quantised(0);
  int64_t quantised_elements = 0;
  Bytes rest(0);
  for (const TensorSpec& tensor : model.tensors) {
    if (!IsStoredQuantised(tensor, storage)) {
      rest += BytesOf(tensor.stored_as.value_or(model.dtype), tensor.Elements());
      continue;
    }
    const int64_t layers = std::max<int64_t>(std::ssize(tensor.layers), 1);
    const int64_t copies = (layers - UntouchedLayers(tensor, exceptions)) * tensor.experts;
    quantised += StoredMatrixBytes(storage, tensor.shape[0], tensor.shape[1]) * copies;
    quantised_elements += tensor.ElementsOfOne() * copies;
    rest += BytesOf(model.dtype, tensor.Elements() - tensor.ElementsOfOne() * copies);
  }
  return {.total = quantised + rest,
          .formula = std::to_string(quantised_elements) + " elements as " + NameOf(storage) + ", " +
                     std::to_string(quantised.value()) + " bytes with scales, + " +
                     std::to_string(model.Parameters() - quantised_elements) + " others, " +
                     std::to_string(rest.value()) + " bytes"};
}

std::string NameOf(const QuantizedStorage& storage) {
  const std::string grouped = "-g" + std::to_string(storage.group);
  switch (storage.format) {
    case StorageFormat::kFp8Tensor:
      return "fp8";
    case StorageFormat::kFp8Channel:
      return "w8a8-fp8";
    case StorageFormat::kFp8Block:
      return "fp8-block";
    case StorageFormat::kInt8Channel:
      return "w8a8-int8";
    case StorageFormat::kInt4Packed:
      return "w4a16" + grouped;
    case StorageFormat::kGptq:
      return "gptq" + grouped;
    case StorageFormat::kAwq:
      return "awq" + grouped;
    case StorageFormat::kMxfp4:
      return "mxfp4";
    case StorageFormat::kNvfp4:
      return "nvfp4";
    case StorageFormat::kNf4:
      return "nf4";
    case StorageFormat::kNf4Double:
      return "nf4-dq";
    case StorageFormat::kInt8Outlier:
      return "bnb-int8";
  }
  return "";
}

ElementType WidthOf(const QuantizedStorage& storage) {
  switch (storage.format) {
    case StorageFormat::kFp8Tensor:
    case StorageFormat::kFp8Channel:
    case StorageFormat::kFp8Block:
      return ElementType::kFp8;
    case StorageFormat::kInt8Channel:
    case StorageFormat::kInt8Outlier:
      return ElementType::kInt8;
    default:
      return ElementType::kInt4;
  }
}

}  // namespace plimsoll
