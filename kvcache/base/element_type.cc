#include "kvcache/base/element_type.h"

#include <array>
#include <utility>

namespace plimsoll {
namespace {

struct Row {
  ElementType type;
  int bits;
  std::string_view name;
};

constexpr std::array<Row, 7> kTypes = {{{ElementType::kFp32, 32, "fp32"},
                                        {ElementType::kTf32, 32, "tf32"},
                                        {ElementType::kFp16, 16, "fp16"},
                                        {ElementType::kBf16, 16, "bf16"},
                                        {ElementType::kFp8, 8, "fp8"},
                                        {ElementType::kInt8, 8, "int8"},
                                        {ElementType::kInt4, 4, "int4"}}};

constexpr std::array<std::pair<std::string_view, ElementType>, 5> kAliases = {
    {{"float32", ElementType::kFp32},
     {"float", ElementType::kFp32},
     {"float16", ElementType::kFp16},
     {"half", ElementType::kFp16},
     {"bfloat16", ElementType::kBf16}}};

const Row& RowOf(ElementType type) { return kTypes[static_cast<size_t>(type)]; }

}  // namespace

int BitsOf(ElementType type) { return RowOf(type).bits; }

std::string_view NameOf(ElementType type) { return RowOf(type).name; }

std::optional<ElementType> ElementTypeFromName(std::string_view name) {
  if (name.substr(0, 6) == "torch.") name.remove_prefix(6);
  for (const Row& row : kTypes) {
    if (row.name == name) return row.type;
  }
  for (const auto& [alias, type] : kAliases) {
    if (alias == name) return type;
  }
  return std::nullopt;
}

Bytes BytesOf(ElementType type, int64_t elements) {
  const std::optional<int64_t> bits = CheckedProduct({elements, BitsOf(type)});
  PLIMSOLL_CHECK(bits.has_value(), NameOf(type), elements);
  return Bytes(CeilDivide(*bits, 8));
}

}  // namespace plimsoll
