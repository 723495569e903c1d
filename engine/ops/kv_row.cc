#include "engine/ops/kv_row.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/ops/float16.h"
#include "engine/ops/float8.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr float kFp16Largest = 65504.0f;

float LargestNumber(ElementType type) { return type == ElementType::kInt8 ? 255.0f : 15.0f; }

float RoundedToFp16(float value) {
  return FloatFromFp16(Fp16FromFloat(std::clamp(value, -kFp16Largest, kFp16Largest)));
}

RowWord WordOf(const float* x, int64_t dim, float largest_number) {
  float smallest = x[0];
  float largest = x[0];
  bool finite = true;
  for (int64_t d = 0; d < dim; ++d) {
    smallest = std::min(smallest, x[d]);
    largest = std::max(largest, x[d]);
    finite &= std::isfinite(x[d]);
  }
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  if (!finite) return {kNan, kNan};
  return {RoundedToFp16((largest - smallest) / largest_number), RoundedToFp16(smallest)};
}

void WriteWord(RowWord value, std::byte* word) {
  const uint16_t halves[2] = {Fp16FromFloat(value.scale), Fp16FromFloat(value.zero)};
  std::memcpy(word, halves, sizeof(halves));
}

// A number in [0, largest]; 0 where there is no scale to count in, or nothing to count.
uint8_t NumberOf(float x, RowWord word, float largest_number) {
  if (!(word.scale > 0)) return 0;
  const float steps = std::nearbyint((x - word.zero) / word.scale);
  return static_cast<uint8_t>(std::clamp(steps, 0.0f, largest_number));
}

void WriteNumbers(ElementType type, const float* x, int64_t dim, RowWord word, std::byte* numbers) {
  const float largest = LargestNumber(type);
  const auto number = [&](int64_t d) { return d < dim ? NumberOf(x[d], word, largest) : 0; };
  if (type == ElementType::kInt8) {
    for (int64_t d = 0; d < dim; ++d) numbers[d] = static_cast<std::byte>(number(d));
    return;
  }
  for (int64_t d = 0; d < dim; d += 2) {
    numbers[d / 2] = static_cast<std::byte>(number(d) | (number(d + 1) << 4));
  }
}

uint32_t ByteAt(const std::byte* numbers, int64_t index) {
  return std::to_integer<uint32_t>(numbers[index]);
}

}  // namespace

bool HasWords(ElementType type) { return type == ElementType::kInt8 || type == ElementType::kInt4; }

void WriteKvRow(ElementType type, const float* x, int64_t dim, std::byte* numbers,
                std::byte* word) {
  if (HasWords(type)) {
    const RowWord chosen = WordOf(x, dim, LargestNumber(type));
    WriteWord(chosen, word);
    return WriteNumbers(type, x, dim, chosen, numbers);
  }
  if (type == ElementType::kFp8) {
    for (int64_t d = 0; d < dim; ++d) numbers[d] = static_cast<std::byte>(E4m3FromFloat(x[d]));
    return;
  }
  for (int64_t d = 0; d < dim; ++d) WriteElement(numbers, type, d, x[d]);
}

RowWord ReadWord(ElementType type, const std::byte* word) {
  if (!HasWords(type)) return {};
  uint16_t halves[2];
  std::memcpy(halves, word, sizeof(halves));
  return {FloatFromFp16(halves[0]), FloatFromFp16(halves[1])};
}

double ReadKv(ElementType type, const std::byte* numbers, RowWord word, int64_t d) {
  if (type == ElementType::kFp8) {
    return FloatFromE4m3(static_cast<uint8_t>(ByteAt(numbers, d)));
  }
  if (!HasWords(type)) return ReadElement(numbers, type, d);
  const uint32_t number = type == ElementType::kInt8
                              ? ByteAt(numbers, d)
                              : (ByteAt(numbers, d / 2) >> (d % 2 * 4)) & 15u;
  return word.zero + double{word.scale} * number;
}

}  // namespace plimsoll
