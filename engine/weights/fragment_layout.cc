#include "engine/weights/fragment_layout.h"

#include <cmath>

#include "engine/ops/float16.h"
#include "engine/ops/weight_element.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kLanes = 32;
constexpr int64_t kLaneBytes = 16;

int64_t BlockColumns(ElementType type) { return type == ElementType::kInt4 ? 64 : 32; }

// The number at a row and column, as int4 stores it or as int8 plus 128.
int Number(const WeightView& weight, int64_t row, int64_t col) {
  const std::byte* const bytes = weight.data + row * RowBytesOf(weight);
  if (weight.type == ElementType::kInt8) return static_cast<int8_t>(bytes[col]) + 128;
  const int pair = std::to_integer<int>(bytes[col / 2]);
  return col % 2 == 0 ? pair & 15 : pair >> 4;
}

// The 16 bytes of one lane, from its first row and column on.
void WriteLane(const WeightView& weight, int64_t row, int64_t col, std::byte* out) {
  const bool int4 = weight.type == ElementType::kInt4;
  for (int64_t i = 0; i < kLaneBytes; ++i) out[i] = std::byte{0};
  for (int64_t step = 0; step < (int4 ? 4 : 2); ++step) {
    for (int64_t i = 0; i < 8; ++i) {  // register i / 2, column i % 2
      const int64_t reg = i / 2;
      const int q = Number(weight, row + reg % 2 * 8, col + step * 4 + reg / 2 * 2 + i % 2);
      const int64_t bit = int4 ? step * 32 + reg * 4 + i % 2 * 16 : step * 64 + i * 8;
      out[bit / 8] |= static_cast<std::byte>(q << bit % 8);
    }
  }
}

void WriteTile(const WeightView& weight, int64_t first_row, std::byte* out) {
  const int64_t columns = BlockColumns(weight.type);
  for (int64_t block = 0; block < weight.cols; block += columns) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      WriteLane(weight, first_row + lane / 4, block + lane % 4 * (columns / 4), out);
      out += kLaneBytes;
    }
  }
}

void WriteScales(const WeightView& weight, int64_t first_row, std::byte* out) {
  const int64_t groups = GroupsOf(weight);
  for (int64_t i = 0; i < groups * kTileRows; ++i) {
    const int64_t from = (first_row + i % kTileRows) * groups + i / kTileRows;
    const auto scale = [&](int64_t at) {
      return ReadElement(weight.scales, ElementType::kFp16, at);
    };
    if (weight.type == ElementType::kInt8) {
      WriteElement(out, ElementType::kFp16, i, scale(from));
      continue;
    }
    const float zero = scale(2 * from + 1);
    PLIMSOLL_CHECK(zero >= 0 && zero < 1024 && std::floor(zero) == zero, zero);
    WriteElement(out, ElementType::kFp16, 2 * i, scale(2 * from));
    WriteElement(out, ElementType::kFp16, 2 * i + 1, 1024 + zero);
  }
}

}  // namespace

bool HasFragments(const WeightView& weight) {
  if (weight.type != ElementType::kInt8 && weight.type != ElementType::kInt4) return false;
  return weight.rows % kTileRows == 0 && weight.cols % BlockColumns(weight.type) == 0;
}

void ToFragments(const WeightView& weight, std::byte* data, std::byte* scales) {
  PLIMSOLL_CHECK(HasFragments(weight), weight.rows, weight.cols);
  PLIMSOLL_CHECK(IsWeightGroup(weight.group, weight.cols), weight.group, weight.cols);
  const int64_t tile_bytes = kTileRows * RowBytesOf(weight);
  const int64_t tile_scales = ScaleBytesOf(weight) / weight.rows * kTileRows;
  for (int64_t tile = 0; tile * kTileRows < weight.rows; ++tile) {
    WriteTile(weight, tile * kTileRows, data + tile * tile_bytes);
    WriteScales(weight, tile * kTileRows, scales + tile * tile_scales);
  }
}

}  // namespace plimsoll
