// Numbers in 16 bits and back: bf16 (8 exponent bits) and fp16 (5).
//
// Towards 16 bits rounds to nearest, ties to even; beyond the largest it is infinity; a NaN stays a
// quiet NaN. Towards fp32 is exact. ReadElement and WriteElement do the same for memory of a type
// known only at run time.
//
// Threads: pure functions, right even where the caller flushes denormals to zero (fp16's own
// denormals are kept). Cost: a few instructions. Errors: a type that holds no such float aborts.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "kvcache/base/element_type.h"

namespace plimsoll {

constexpr float FloatFromBf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

constexpr uint16_t Bf16FromFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

constexpr float FloatFromFp16(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {  // zero and denormals: an integer times 2^-24, normal in fp32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

constexpr uint16_t Fp16FromFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half = 0;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x1ffu);
  } else if (magnitude >= 0x477ff000u) {  // 65520 and up round to infinity
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14: the last bit of 0.5 + x is worth 2^-24
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

// Whether elements of `type` are plain floats that ReadElement knows: fp32, fp16, bf16.
bool IsFloatStorage(ElementType type);

// Element `index` of an array of `type`, which IsFloatStorage. No alignment is asked for.
float ReadElement(const std::byte* data, ElementType type, int64_t index);
void WriteElement(std::byte* data, ElementType type, int64_t index, float value);

}  // namespace plimsoll
