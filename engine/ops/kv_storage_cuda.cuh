// How elements of K and V lie in memory, and what makes pairs of 16-bit numbers of them.
//
// KvStorage<type>:
//   Multiply   the 16-bit type they become
//   kBits      of one element
//   kPairs     pairs of elements that a 32-bit word holds
//   Unpack     a word into its pairs; pair x holds elements Element(x, 0), low, and Element(x, 1)
//   kScaled    whether a word {fp16 scale, fp16 zero} goes with each token and head; then
//              value = scale * (unpacked + kCentre) + zero
//   kFactor    else value = kFactor * unpacked
//   kLift      what a weight times a scale is multiplied by before it is rounded to 16 bits: scales
//   of
//              small values would leave fp16's normal numbers. Times kLift they overflow from 255
//              on, which int4 reaches at values of 1900.
//
// Every unpacked number is exact. Integers are unpacked around their middle, since what is rounded
// later (weights of values) is then multiplied by less.
#pragma once

#include "engine/ops/attention_types_cuda.cuh"

namespace plimsoll::cuda {

template <PlimsollCudaType>
struct KvStorage;

struct Unscaled {
  static constexpr bool kScaled = false;
  static constexpr float kCentre = 0;
  static constexpr float kFactor = 1;
  static constexpr float kLift = 1;
};

struct Plain16 : Unscaled {
  static constexpr int kBits = 16;
  static constexpr int kPairs = 1;
  static SIMT_DEVICE constexpr int Element(int, int half) { return half; }
  static SIMT_DEVICE void Unpack(uint32_t word, uint32_t (&pairs)[1]) { pairs[0] = word; }
};

template <>
struct KvStorage<PLIMSOLL_CUDA_FP16> : Plain16 {
  using Multiply = __half;
};

template <>
struct KvStorage<PLIMSOLL_CUDA_BF16> : Plain16 {
  using Multiply = __nv_bfloat16;
};

// e4m3 is fp16 with one exponent bit and seven mantissa bits fewer: moved into place, sign apart,
// its exponent is off by 15 - 7, denormals included. Of the largest magnitude, which is NaN, a one
// carries into the exponent's highest bit, and there it makes fp16's NaN.
template <>
struct KvStorage<PLIMSOLL_CUDA_FP8> : Unscaled {
  using Multiply = __half;
  static constexpr int kBits = 8;
  static constexpr int kPairs = 2;
  static constexpr float kFactor = 256;
  static SIMT_DEVICE constexpr int Element(int pair, int half) { return 2 * pair + half; }
  static SIMT_DEVICE void Unpack(uint32_t word, uint32_t (&pairs)[2]) {
    pairs[0] = ToHalves(simt::PermuteBytes(word, 0, 0x1404));
    pairs[1] = ToHalves(simt::PermuteBytes(word, 0, 0x3424));
  }
  static SIMT_DEVICE uint32_t ToHalves(uint32_t high_bytes) {
    const uint32_t numbers = simt::AndOr(high_bytes >> 1, 0x3f803f80u, high_bytes & 0x80008000u);
    const uint32_t carried = (numbers & 0x7fff7fffu) + 0x00800080u;
    return simt::AndOr(carried, 0x40004000u, numbers);
  }
};

// A byte below the byte 0x64 is the fp16 1024 + byte.
template <>
struct KvStorage<PLIMSOLL_CUDA_INT8> {
  using Multiply = __half;
  static constexpr int kBits = 8;
  static constexpr int kPairs = 2;
  static constexpr bool kScaled = true;
  static constexpr float kCentre = 128;
  static constexpr float kFactor = 1;
  static constexpr float kLift = 256;
  static SIMT_DEVICE constexpr int Element(int pair, int half) { return 2 * pair + half; }
  static SIMT_DEVICE void Unpack(uint32_t word, uint32_t (&pairs)[2]) {
    constexpr uint32_t kMiddle = 0x64806480;  // 1024 + 128, twice
    pairs[0] = simt::SubtractHalves(simt::PermuteBytes(word, 0x64646464u, 0x5150), kMiddle);
    pairs[1] = simt::SubtractHalves(simt::PermuteBytes(word, 0x64646464u, 0x5352), kMiddle);
  }
};

// Four bits below 0x640 likewise, for every fourth nibble at once.
template <>
struct KvStorage<PLIMSOLL_CUDA_INT4> {
  using Multiply = __half;
  static constexpr int kBits = 4;
  static constexpr int kPairs = 4;
  static constexpr bool kScaled = true;
  static constexpr float kCentre = 8;
  static constexpr float kFactor = 1;
  static constexpr float kLift = 256;
  static SIMT_DEVICE constexpr int Element(int pair, int half) { return pair + 4 * half; }
  static SIMT_DEVICE void Unpack(uint32_t word, uint32_t (&pairs)[4]) {
    constexpr uint32_t kMiddle = 0x64086408;  // 1024 + 8, twice
#pragma unroll
    for (int x = 0; x < 4; ++x) {
      pairs[x] =
          simt::SubtractHalves(simt::AndOr(word >> (4 * x), 0x000f000fu, 0x64006400u), kMiddle);
    }
  }
};

// Scale and zero of a token, with the zero moved to where numbers are unpacked around.
struct ScaleZero {
  float scale;
  float zero;
};

template <class Storage>
SIMT_DEVICE ScaleZero ScaleZeroOf(uint32_t word) {
  const float scale = __half2float(__ushort_as_half(static_cast<unsigned short>(word & 0xffff)));
  const float zero = __half2float(__ushort_as_half(static_cast<unsigned short>(word >> 16)));
  return {scale, zero + Storage::kCentre * scale};
}

template <class T>
SIMT_DEVICE uint32_t PackPair(float low, float high);

template <>
SIMT_DEVICE uint32_t PackPair<__half>(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return __half_as_ushort(pair.x) | static_cast<uint32_t>(__half_as_ushort(pair.y)) << 16;
}

template <>
SIMT_DEVICE uint32_t PackPair<__nv_bfloat16>(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return __bfloat16_as_ushort(pair.x) | static_cast<uint32_t>(__bfloat16_as_ushort(pair.y)) << 16;
}

// The two numbers of such a pair.
template <class T>
SIMT_DEVICE float2 UnpackPair(uint32_t word);

template <>
SIMT_DEVICE float2 UnpackPair<__half>(uint32_t word) {
  return {__half2float(__ushort_as_half(static_cast<unsigned short>(word & 0xffff))),
          __half2float(__ushort_as_half(static_cast<unsigned short>(word >> 16)))};
}

template <>
SIMT_DEVICE float2 UnpackPair<__nv_bfloat16>(uint32_t word) {
  return {__bfloat162float(__ushort_as_bfloat16(static_cast<unsigned short>(word & 0xffff))),
          __bfloat162float(__ushort_as_bfloat16(static_cast<unsigned short>(word >> 16)))};
}

}  // namespace plimsoll::cuda
