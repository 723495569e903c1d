#include "engine/ops/weight_element.h"

#include <bit>

#include "engine/ops/float16.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr int64_t kLeastGroup = 32;
constexpr int64_t kMostGroup = 2048;

double Half(const std::byte* data, int64_t index) {
  return ReadElement(data, ElementType::kFp16, index);
}

}  // namespace

bool IsWeightGroup(int64_t group, int64_t cols) {
  if (group >= cols) return true;
  return group >= kLeastGroup && group <= kMostGroup &&
         std::has_single_bit(static_cast<uint64_t>(group));
}

int64_t GroupsOf(const WeightView& weight) {
  PLIMSOLL_CHECK(weight.group > 0, weight.group);
  return CeilDivide(weight.cols, weight.group);
}

int64_t RowBytesOf(const WeightView& weight) { return BytesOf(weight.type, weight.cols).value(); }

int64_t ScaleBytesOf(const WeightView& weight) {
  return weight.rows * GroupsOf(weight) * (weight.type == ElementType::kInt4 ? 4 : 2);
}

double WeightElement(const WeightView& weight, int64_t row, int64_t col) {
  if (IsFloatStorage(weight.type)) {
    return ReadElement(weight.data, weight.type, row * weight.cols + col);
  }
  const int64_t scale = row * GroupsOf(weight) + col / weight.group;
  const std::byte* const bytes = weight.data + row * RowBytesOf(weight);
  if (weight.type == ElementType::kInt8) {
    return Half(weight.scales, scale) * static_cast<int8_t>(bytes[col]);
  }
  PLIMSOLL_CHECK(weight.type == ElementType::kInt4, NameOf(weight.type));
  const int byte = std::to_integer<int>(bytes[col / 2]);
  const int q = col % 2 == 0 ? byte & 15 : byte >> 4;
  return Half(weight.scales, 2 * scale) * (q - Half(weight.scales, 2 * scale + 1));
}

}  // namespace plimsoll
