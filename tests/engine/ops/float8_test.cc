#include "engine/ops/float8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "engine/ops/flush_denormals.h"

namespace plimsoll {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The format's definition, in double.
double Defined(int code) {
  const int exponent = (code >> 3) & 15;
  const int mantissa = code & 7;
  const double sign = (code & 0x80) != 0 ? -1 : 1;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<double>::quiet_NaN();
  if (exponent == 0) return sign * mantissa * 0x1p-9;
  return sign * std::ldexp(8 + mantissa, exponent - 10);
}

// The code nearest to `value`, the even one of two; found by looking at all of them.
int Nearest(double value) {
  const int sign = std::signbit(value) ? 0x80 : 0;
  int best = 0;
  for (int code = 1; code < 0x7f; ++code) {
    const double was = std::abs(Defined(best) - std::abs(value));
    const double is = std::abs(Defined(code) - std::abs(value));
    if (is < was || (is == was && code % 2 == 0)) best = code;
  }
  return sign | best;
}

TEST(E4m3, EveryCodeIsWhatTheFormatSays) {
  for (int code = 0; code < 256; ++code) {
    const float value = FloatFromE4m3(static_cast<uint8_t>(code));
    if (std::isnan(Defined(code))) {
      EXPECT_TRUE(std::isnan(value)) << code;
      EXPECT_EQ(E4m3FromFloat(value), code);
    } else {
      EXPECT_EQ(value, Defined(code)) << code;
      EXPECT_EQ(E4m3FromFloat(value), code);
    }
  }
}

TEST(E4m3, HalfWayBetweenTwoCodesTheEvenOneIsTaken) {
  for (int code = 0; code + 1 < 0x7f; ++code) {
    const float middle = static_cast<float>((Defined(code) + Defined(code + 1)) / 2);
    const int even = code % 2 == 0 ? code : code + 1;
    EXPECT_EQ(E4m3FromFloat(middle), even) << code;
    EXPECT_EQ(E4m3FromFloat(-middle), 0x80 | even) << code;
    EXPECT_EQ(E4m3FromFloat(std::nextafter(middle, 0.0f)), code) << code;
    EXPECT_EQ(E4m3FromFloat(std::nextafter(middle, kInfinity)), code + 1) << code;
  }
}

TEST(E4m3, AnyNumberGoesToTheNearest) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  std::uniform_real_distribution<float> exponent(-12, 10);
  for (int i = 0; i < 2000; ++i) {
    const float value = std::exp2(exponent(rng)) * (i % 2 == 0 ? 1.0f : -1.0f);
    ASSERT_EQ(E4m3FromFloat(value), Nearest(value)) << value;
  }
}

TEST(E4m3, WhatIsTooLargeIsTheLargest) {
  for (const float value : {448.0f, 449.0f, 464.0f, 480.0f, 1e30f, kInfinity}) {
    EXPECT_EQ(E4m3FromFloat(value), 0x7e) << value;
    EXPECT_EQ(E4m3FromFloat(-value), 0xfe) << value;
  }
  EXPECT_EQ(E4m3FromFloat(std::numeric_limits<float>::quiet_NaN()), 0x7f);
}

TEST(E4m3, DenormalsSurviveWhereTheProcessorFlushesThem) {
  const FlushDenormals flush;
  EXPECT_EQ(FloatFromE4m3(0x01), 0x1p-9f);
  EXPECT_EQ(E4m3FromFloat(0x1p-9f), 0x01);
  EXPECT_EQ(E4m3FromFloat(-3 * 0x1p-10f), 0x82);
}

}  // namespace
}  // namespace plimsoll
