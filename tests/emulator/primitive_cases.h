// Random operands for each primitive of primitives.cuh, and what must come out, said without the
// emulator: it and a GPU are judged by the same words.
//
// Everything is exact but PowerOfTwo (two units in the last place) and MultiplyAdd (2^-20 of the
// sum of the terms' sizes: hardware keeps some bits more than fp32 and cuts off the rest).
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/ops/float16.h"
#include "tests/emulator/primitives.cuh"

namespace plimsoll {

inline constexpr Primitive kPrimitives[] = {
    Primitive::kLoad16,       Primitive::kLoad16If,   Primitive::kLoad8If,
    Primitive::kLoad4If,      Primitive::kCopy16,     Primitive::kCopy8,
    Primitive::kCopy4,        Primitive::kShuffleXor, Primitive::kShuffleFrom,
    Primitive::kPermuteBytes, Primitive::kAndOr,      Primitive::kSubtractHalves,
    Primitive::kPowerOfTwo,   Primitive::kTranspose,  Primitive::kMultiplyFp16,
    Primitive::kMultiplyBf16};

inline std::string PrimitiveName(const testing::TestParamInfo<Primitive>& info) {
  static const char* const kNames[] = {
      "Load16",     "Load16If",   "Load8If",      "Load4If",      "Copy16", "Copy8",
      "Copy4",      "ShuffleXor", "ShuffleFrom",  "PermuteBytes", "AndOr",  "SubtractHalves",
      "PowerOfTwo", "Transpose",  "MultiplyFp16", "MultiplyBf16"};
  return kNames[static_cast<size_t>(info.param)];
}

inline uint16_t Narrow(Primitive primitive, float value) {
  return primitive == Primitive::kMultiplyBf16 ? Bf16FromFloat(value) : Fp16FromFloat(value);
}
inline float Widen(Primitive primitive, uint32_t bits) {
  const auto half = static_cast<uint16_t>(bits);
  return primitive == Primitive::kMultiplyBf16 ? FloatFromBf16(half) : FloatFromFp16(half);
}

inline std::vector<uint32_t> RandomOperands(Primitive primitive, std::mt19937& rng) {
  std::vector<uint32_t> words(kPrimitiveWordsIn);
  for (uint32_t& word : words) word = static_cast<uint32_t>(rng());
  std::normal_distribution<float> normal;
  const auto pair = [&] {
    const uint32_t low = Narrow(primitive, normal(rng));
    return low | static_cast<uint32_t>(Narrow(primitive, normal(rng))) << 16;
  };
  for (size_t i = 0; i < words.size(); ++i) {
    switch (primitive) {
      case Primitive::kSubtractHalves:
        words[i] = pair();
        break;
      case Primitive::kPowerOfTwo:
        words[i] = WordOf(60 * normal(rng));
        break;
      case Primitive::kMultiplyFp16:
      case Primitive::kMultiplyBf16:
        words[i] = i % 8 == 6 ? WordOf(normal(rng)) : pair();
        break;
      default:
        break;
    }
  }
  return words;
}

// Element (row, k) of A, (k, column) of B and (row, column) of C, as the lanes' words hold them.
struct FragmentWords {
  Primitive primitive;
  const std::vector<uint32_t>& in;

  float A(size_t row, size_t k) const {
    const size_t lane = row % 8 * 4 + k % 8 / 2;
    return Widen(primitive, in[lane * 8 + row / 8 + k / 8 * 2] >> (k % 2 * 16));
  }
  float B(size_t k, size_t column) const {
    const size_t lane = column * 4 + k % 8 / 2;
    return Widen(primitive, in[lane * 8 + 4 + k / 8] >> (k % 2 * 16));
  }
  float C(size_t row, size_t column) const {
    const float first = FloatOf(in[(row % 8 * 4 + column / 2) * 8 + 6]);
    const float all[4] = {first, -first, 1, 0};
    return all[row / 8 * 2 + column % 2];
  }
};

inline void ExpectProduct(const FragmentWords& words, const std::vector<uint32_t>& out) {
  for (size_t row = 0; row < 16; ++row) {
    for (size_t column = 0; column < 8; ++column) {
      double want = words.C(row, column);
      double size = std::abs(want);
      for (size_t k = 0; k < 16; ++k) {
        const double term = double{words.A(row, k)} * words.B(k, column);
        want += term;
        size += std::abs(term);
      }
      const size_t lane = row % 8 * 4 + column / 2;
      const float got = FloatOf(out[lane * 4 + row / 8 * 2 + column % 2]);
      EXPECT_NEAR(got, want, size * 0x1p-20) << row << ", " << column;
    }
  }
}

// What word `i` of a lane's results must be, for primitives that are exact.
inline uint32_t ExactWord(Primitive primitive, const std::vector<uint32_t>& in, size_t lane,
                          size_t i) {
  const uint32_t* const w = &in[lane * 8];
  switch (primitive) {
    case Primitive::kLoad16:
      return in[w[0] % 64 * 4 + i];
    case Primitive::kLoad16If:
    case Primitive::kCopy16:
      return w[1] % 2 == 1 ? in[w[0] % 64 * 4 + i] : 0;
    case Primitive::kLoad8If:
    case Primitive::kCopy8:
      return w[1] % 2 == 1 && i < 2 ? in[w[0] % 64 * 4 + i] : 0;
    case Primitive::kLoad4If:
    case Primitive::kCopy4:
      return w[1] % 2 == 1 && i < 1 ? in[w[0] % 64 * 4] : 0;
    case Primitive::kShuffleFrom:
      return i == 0 ? in[w[1] % 32 * 8] : 0;
    case Primitive::kShuffleXor:
      return in[(lane ^ size_t{1} << i) * 8];
    case Primitive::kPermuteBytes: {
      uint8_t bytes[8];
      std::memcpy(bytes, w, sizeof bytes);
      uint32_t word = 0;
      for (int b = 3; b >= 0; --b) word = word << 8 | bytes[w[2] >> (4 * b) & 7];
      return i == 0 ? word : 0;
    }
    case Primitive::kAndOr:
      return i == 0 ? (w[0] & w[1]) | w[2] : 0;
    case Primitive::kSubtractHalves: {
      uint32_t word = 0;
      for (int half = 16; half >= 0; half -= 16) {
        const float difference = FloatFromFp16(static_cast<uint16_t>(w[0] >> half)) -
                                 FloatFromFp16(static_cast<uint16_t>(w[1] >> half));
        word = word << 16 | Fp16FromFloat(difference);
      }
      return i == 0 ? word : 0;
    }
    case Primitive::kTranspose: {
      const size_t row = lane / 4;
      const size_t column = lane % 4 * 2;
      const auto element = [&](size_t r, size_t c) {
        return in[(r * 4 + c / 2) * 8] >> (c % 2 * 16) & 0xffffu;
      };
      return i == 0 ? element(column, row) | element(column + 1, row) << 16 : 0;
    }
    default:
      ADD_FAILURE() << "not an exact primitive";
      return 0;
  }
}

inline void ExpectPrimitive(Primitive primitive, const std::vector<uint32_t>& in,
                            const std::vector<uint32_t>& out) {
  if (primitive == Primitive::kMultiplyFp16 || primitive == Primitive::kMultiplyBf16) {
    return ExpectProduct({primitive, in}, out);
  }
  for (size_t lane = 0; lane < 32; ++lane) {
    if (primitive == Primitive::kPowerOfTwo) {
      const float x = FloatOf(in[lane * 8]);
      const double want = x < -126 ? 0.0 : std::exp2(double{x});
      const float got = FloatOf(out[lane * 4]);
      if (std::isinf(static_cast<float>(want))) {
        EXPECT_TRUE(std::isinf(got)) << x;
      } else {
        EXPECT_NEAR(got, want, want * 0x1p-22) << x;
      }
      continue;
    }
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(out[lane * 4 + i], ExactWord(primitive, in, lane, i)) << lane << ", " << i;
    }
  }
}

}  // namespace plimsoll
