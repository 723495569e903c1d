// The storage of quantised checkpoints; weight_bytes.h has the formulas.
#include <algorithm>
#include <optional>

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

Bytes Half(int64_t elements) { return Bytes(CeilDivide(elements, 2)); }

// "nvfp4+fp8"
std::string NameOfMixture(const QuantizedStorage& storage) {
  QuantizedStorage base = storage;
  base.apart.clear();
  std::string name = storage.rest ? NameOf(base) : "";
  for (const QuantizedStorage& format : storage.apart) {
    name += (name.empty() ? "" : "+") + NameOf(format);
  }
  return name;
}

// Without the scale of its inputs.
Bytes BytesAlone(const QuantizedStorage& storage, int64_t outputs, int64_t inputs) {
  const int64_t e = outputs * inputs;
  const int64_t group = storage.group > 0 ? storage.group : std::max<int64_t>(inputs, 1);
  const int64_t groups = CeilDivide(inputs, group);
  switch (storage.format) {
    case StorageFormat::kFp8Tensor:
      return Bytes(e + storage.matrix_scale);
    case StorageFormat::kFp8Channel:
      return Bytes(e + 2 * outputs);
    case StorageFormat::kInt8Channel:
      return Bytes(e + 2 * groups * outputs + (IsPacked(storage) ? kPackedShape : 0));
    case StorageFormat::kFp8Block:
      return Bytes(e + 4 * groups * CeilDivide(outputs, group));
    case StorageFormat::kInt4Packed:
      return Half(e) + Half(storage.zeros ? groups * outputs : 0) +
             Bytes(2 * groups * outputs + kPackedShape + (storage.indices ? 4 * inputs : 0));
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
    case StorageFormat::kEngineInt8:
      return Bytes(e + 2 * groups * outputs);
    case StorageFormat::kEngineInt4:
      return BytesOf(ElementType::kInt4, inputs) * outputs + Bytes(4 * groups * outputs);
  }
  return Bytes(0);
}

}  // namespace

Bytes StoredMatrixBytes(const QuantizedStorage& storage, int64_t outputs, int64_t inputs) {
  return BytesAlone(storage, outputs, inputs) + Bytes(storage.input_scale);
}

bool IsStoredQuantised(const TensorSpec& tensor, const QuantizedStorage& storage) {
  if (storage.format == StorageFormat::kMxfp4) return tensor.role == TensorRole::kExpert;
  return IsMatrix(tensor.role);
}

bool IsPacked(const QuantizedStorage& storage) { return storage.variant == "pack-quantized"; }

std::optional<QuantizedStorage> EngineStorageOf(const QuantizedStorage& storage) {
  QuantizedStorage engine = storage;
  engine.variant = "";
  engine.kv_scale = 0;
  engine.apart.clear();
  for (const QuantizedStorage& each : storage.apart) {
    const std::optional<QuantizedStorage> of_each = EngineStorageOf(each);
    if (!of_each) return std::nullopt;
    engine.apart.push_back(*of_each);
  }
  if (!storage.rest) return engine;
  if (storage.input_scale > 0) return std::nullopt;
  std::string variant = storage.variant;
  for (char& c : variant) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  switch (storage.format) {
    case StorageFormat::kInt8Channel:
      engine.format = StorageFormat::kEngineInt8;
      return IsPacked(storage) ? std::optional(engine) : std::nullopt;
    case StorageFormat::kInt4Packed:
      engine.format = StorageFormat::kEngineInt4;
      return IsPacked(storage) ? std::optional(engine) : std::nullopt;
    case StorageFormat::kGptq: {
      engine.format = StorageFormat::kEngineInt4;
      const bool known = variant.empty() || variant == "gptq" || variant == "gptq_v2";
      return known ? std::optional(engine) : std::nullopt;
    }
    case StorageFormat::kAwq:
      engine.format = StorageFormat::kEngineInt4;
      return variant.empty() || variant == "gemm" ? std::optional(engine) : std::nullopt;
    default:
      return std::nullopt;
  }
}

Bytes ResidentMatrixBytes(const QuantizedStorage& storage, int64_t outputs, int64_t inputs) {
  const Bytes stored = StoredMatrixBytes(storage, outputs, inputs);
  return storage.format == StorageFormat::kGptq ? stored - Bytes(4 * inputs) : stored;
}

std::string NameOf(const QuantizedStorage& storage) {
  if (!storage.apart.empty()) return NameOfMixture(storage);
  const std::string grouped = storage.group > 0 ? "-g" + std::to_string(storage.group) : "";
  switch (storage.format) {
    case StorageFormat::kFp8Tensor:
      return "fp8";
    case StorageFormat::kFp8Channel:
      return "w8a8-fp8";
    case StorageFormat::kFp8Block:
      return "fp8-block";
    case StorageFormat::kInt8Channel:
      return (IsPacked(storage) ? "w8a16" : "w8a8-int8") + grouped;
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
    case StorageFormat::kEngineInt8:
      return "int8" + grouped;
    case StorageFormat::kEngineInt4:
      return "int4" + grouped;
  }
  return "";
}

ElementType WidthOf(const QuantizedStorage& storage) {
  if (!storage.rest && !storage.apart.empty()) return WidthOf(storage.apart[0]);
  switch (storage.format) {
    case StorageFormat::kFp8Tensor:
    case StorageFormat::kFp8Channel:
    case StorageFormat::kFp8Block:
      return ElementType::kFp8;
    case StorageFormat::kInt8Channel:
    case StorageFormat::kInt8Outlier:
    case StorageFormat::kEngineInt8:
      return ElementType::kInt8;
    default:
      return ElementType::kInt4;
  }
}

}  // namespace plimsoll
