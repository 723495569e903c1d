// Numbers in 8 bits and back: e4m3 (1 sign, 4 exponent and 3 mantissa bits, bias 7, no infinity).
//
// Towards 8 bits rounds to nearest, ties to even; beyond 448, the largest, it is 448, infinity too;
// a NaN is the code with all bits below the sign set. Towards fp32 is exact.
//
// Threads: pure functions, right even where the caller flushes denormals to zero (e4m3's own
// denormals are kept). Cost: a few instructions. Errors: none.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace plimsoll {

constexpr float FloatFromE4m3(uint8_t bits) {
  const uint32_t magnitude = bits & 0x7fu;
  const uint32_t sign = (bits & 0x80u) << 24;
  float value = std::numeric_limits<float>::quiet_NaN();
  if (magnitude < 8) {  // zero and denormals: an integer times 2^-9
    value = static_cast<float>(magnitude) * 0x1p-9f;
  } else if (magnitude != 0x7fu) {
    value = std::bit_cast<float>((magnitude << 20) + (120u << 23));
  }
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

constexpr uint8_t E4m3FromFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 24) & 0x80u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t code = 0;
  if (magnitude > 0x7f800000u) {
    code = 0x7fu;
  } else if (magnitude >= 0x43e00000u) {  // 448
    code = 0x7eu;
  } else if (magnitude < 0x3c800000u) {  // below 2^-6: the last bit of 2^14 + x is worth 2^-9
    code = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0x1p14f) - 0x46800000u;
  } else {
    code = (magnitude + 0x7ffffu + ((magnitude >> 20) & 1u) - (120u << 23)) >> 20;
  }
  return static_cast<uint8_t>(sign | code);
}

}  // namespace plimsoll
