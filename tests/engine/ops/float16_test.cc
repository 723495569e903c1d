#include "engine/ops/float16.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "engine/ops/flush_denormals.h"

namespace plimsoll {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Bf16, RoundsToNearestWithTiesToEven) {
  EXPECT_EQ(Bf16FromFloat(1.0f), 0x3f80);
  EXPECT_EQ(Bf16FromFloat(-2.0f), 0xc000);
  EXPECT_EQ(Bf16FromFloat(1.0f + 0x1p-8f), 0x3f80);             // half way, to even
  EXPECT_EQ(Bf16FromFloat(1.0f + 3 * 0x1p-8f), 0x3f82);         // half way, to even
  EXPECT_EQ(Bf16FromFloat(1.0f + 0x1p-8f + 0x1p-20f), 0x3f81);  // just past half way
  EXPECT_EQ(Bf16FromFloat(std::numeric_limits<float>::max()), 0x7f80);
}

TEST(Bf16, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = FloatFromBf16(static_cast<uint16_t>(bits));
    const uint16_t back = Bf16FromFloat(value);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(FloatFromBf16(back))) << bits;
    } else {
      ASSERT_EQ(back, bits);
    }
  }
}

TEST(Fp16, RoundsToNearestWithTiesToEven) {
  EXPECT_EQ(Fp16FromFloat(1.0f), 0x3c00);
  EXPECT_EQ(Fp16FromFloat(-0.5f), 0xb800);
  EXPECT_EQ(Fp16FromFloat(1.0f + 0x1p-11f), 0x3c00);             // half way, to even
  EXPECT_EQ(Fp16FromFloat(1.0f + 3 * 0x1p-11f), 0x3c02);         // half way, to even
  EXPECT_EQ(Fp16FromFloat(1.0f + 0x1p-11f + 0x1p-20f), 0x3c01);  // just past half way
}

TEST(Fp16, LargeNumbersBecomeInfinityAndSmallOnesDenormal) {
  EXPECT_EQ(Fp16FromFloat(65504.0f), 0x7bff);
  EXPECT_EQ(Fp16FromFloat(65519.0f), 0x7bff);
  EXPECT_EQ(Fp16FromFloat(65520.0f), 0x7c00);
  EXPECT_EQ(Fp16FromFloat(-kInfinity), 0xfc00);
  EXPECT_EQ(Fp16FromFloat(0x1p-14f), 0x0400);
  EXPECT_EQ(Fp16FromFloat(0x1p-24f), 0x0001);
  EXPECT_EQ(Fp16FromFloat(0x1p-25f), 0x0000);  // half way, to even
  EXPECT_EQ(Fp16FromFloat(3 * 0x1p-25f), 0x0002);
}

TEST(Fp16, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = FloatFromFp16(static_cast<uint16_t>(bits));
    const uint16_t back = Fp16FromFloat(value);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(FloatFromFp16(back))) << bits;
    } else {
      ASSERT_EQ(back, bits);
    }
  }
}

TEST(Fp16, DenormalsSurviveWhereTheProcessorFlushesThem) {
  const FlushDenormals flush;
  EXPECT_EQ(FloatFromFp16(0x0001), 0x1p-24f);
  EXPECT_EQ(Fp16FromFloat(0x1p-24f), 0x0001);
}

TEST(Float16, NanStaysNan) {
  // This one has all its payload in bits that do not fit.
  const float nan = std::bit_cast<float>(0x7f800001u);
  EXPECT_TRUE(std::isnan(FloatFromBf16(Bf16FromFloat(nan))));
  EXPECT_TRUE(std::isnan(FloatFromFp16(Fp16FromFloat(nan))));
}

TEST(Elements, AreReadAsWritten) {
  for (const ElementType type : {ElementType::kFp32, ElementType::kFp16, ElementType::kBf16}) {
    std::array<std::byte, 17> memory{};
    std::byte* const unaligned = memory.data() + 1;
    WriteElement(unaligned, type, 0, -1.5f);
    WriteElement(unaligned, type, 3, 0.25f);
    EXPECT_EQ(ReadElement(unaligned, type, 0), -1.5f);
    EXPECT_EQ(ReadElement(unaligned, type, 1), 0.0f);
    EXPECT_EQ(ReadElement(unaligned, type, 3), 0.25f);
  }
}

TEST(ElementsDeathTest, OfIntegersAbort) {
  std::array<std::byte, 4> memory{};
  EXPECT_FALSE(IsFloatStorage(ElementType::kInt8));
  EXPECT_DEATH(ReadElement(memory.data(), ElementType::kInt8, 0), "IsFloatStorage");
}

}  // namespace
}  // namespace plimsoll
