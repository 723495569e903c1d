#include "kvcache/sizing/weight_format.h"

#include <array>
#include <charconv>

namespace plimsoll {
namespace {

struct NamedStorage {
  std::string_view name;
  StorageFormat format;
  int64_t group;  // 0: the name ends in -g and the group; 1: the format has none
};

constexpr std::array<NamedStorage, 11> kStorages = {{
    {"gptq-g", StorageFormat::kGptq, 0},
    {"awq-g", StorageFormat::kAwq, 0},
    {"w4a16-g", StorageFormat::kInt4Packed, 0},
    {"w8a8-int8", StorageFormat::kInt8Channel, 1},
    {"w8a8-fp8", StorageFormat::kFp8Channel, 1},
    {"fp8-block", StorageFormat::kFp8Block, 128},
    {"mxfp4", StorageFormat::kMxfp4, 32},
    {"nvfp4", StorageFormat::kNvfp4, 16},
    {"nf4", StorageFormat::kNf4, 64},
    {"nf4-dq", StorageFormat::kNf4Double, 64},
    {"bnb-int8", StorageFormat::kInt8Outlier, 1},
}};

constexpr int64_t kMaxGroup = 1 << 16;

std::optional<int64_t> GroupFrom(std::string_view digits) {
  int64_t group = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), group);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (!whole || group < 1 || group > kMaxGroup) return std::nullopt;
  return group;
}

std::optional<WeightFormat> StorageFromName(std::string_view name) {
  for (const NamedStorage& known : kStorages) {
    if (known.group > 0 && name == known.name) {
      return QuantizedStorage{.format = known.format, .group = known.group > 1 ? known.group : 0};
    }
    if (known.group > 0 || !name.starts_with(known.name)) continue;
    const std::optional<int64_t> group = GroupFrom(name.substr(known.name.size()));
    if (group) return QuantizedStorage{.format = known.format, .group = *group};
  }
  return std::nullopt;
}

}  // namespace

std::string NameOf(const WeightFormat& format) {
  if (const auto* const type = std::get_if<ElementType>(&format)) return std::string(NameOf(*type));
  if (const auto* const mix = std::get_if<GgufMix>(&format)) return NameOf(*mix);
  return NameOf(std::get<QuantizedStorage>(format));
}

std::optional<WeightFormat> WeightFormatFromName(std::string_view name) {
  const std::optional<ElementType> type = ElementTypeFromName(name);
  if (type) return *type;
  if (const std::optional<GgufMix> mix = GgufMixFromName(name)) return *mix;
  return StorageFromName(name);
}

std::string WeightFormatNames() {
  std::string names = "fp32, tf32, fp16, bf16, fp8, int8, int4";
  for (const NamedStorage& known : kStorages) {
    names += ", " + std::string(known.name) + (known.group == 0 ? "N" : "");
  }
  return names + ", " + GgufMixNames();
}

ElementType WidthOf(const WeightFormat& format) {
  if (const auto* const type = std::get_if<ElementType>(&format)) return *type;
  if (const auto* const mix = std::get_if<GgufMix>(&format)) return WidthOf(*mix);
  return WidthOf(std::get<QuantizedStorage>(format));
}

WeightFormat StoredFormatOf(const ModelConfig& model) {
  if (model.storage) return *model.storage;
  return model.dtype;
}

}  // namespace plimsoll
