#include "kvcache/model/gguf_types.h"

#include <gtest/gtest.h>

namespace plimsoll {
namespace {

// Bits an element, worked out from each block's parts; the last decimals are exact.
TEST(GgufTypes, BlocksHaveTheBitsThatTheirNamesPromise) {
  const auto bits = [](const char* name) {
    const GgufType& type = *GgufTypeNamed(name);
    return 8.0 * static_cast<double>(type.block_bytes) / static_cast<double>(type.block_elements);
  };
  EXPECT_EQ(bits("F32"), 32);
  EXPECT_EQ(bits("bf16"), 16);
  EXPECT_EQ(bits("Q8_0"), 8.5);     // 32 bytes and a half-precision scale
  EXPECT_EQ(bits("Q4_0"), 4.5);     // 16 bytes and a scale
  EXPECT_EQ(bits("Q4_1"), 5);       // and a minimum
  EXPECT_EQ(bits("Q5_1"), 6);       // and 4 bytes of fifth bits
  EXPECT_EQ(bits("Q2_K"), 2.625);   // 64 bytes, 16 of scales, two halves
  EXPECT_EQ(bits("Q3_K"), 3.4375);  // 64 and 32 bytes, 12 of scales, a half
  EXPECT_EQ(bits("Q4_K"), 4.5);     // 128 bytes, 12 of scales, two halves
  EXPECT_EQ(bits("Q5_K"), 5.5);
  EXPECT_EQ(bits("Q6_K"), 6.5625);  // 128 and 64 bytes, 16 scales, a half
  EXPECT_EQ(bits("IQ4_XS"), 4.25);
  EXPECT_EQ(bits("IQ1_S"), 1.5625);
  EXPECT_EQ(bits("MXFP4"), 4.25);  // 16 bytes and an exponent
  EXPECT_EQ(bits("NVFP4"), 4.5);   // 32 bytes and four scales
}

TEST(GgufTypes, IdsAndNamesAreUnique) {
  for (const GgufType& type : AllGgufTypes()) {
    EXPECT_EQ(GgufTypeOf(type.id), &type) << type.name;
    EXPECT_EQ(GgufTypeNamed(type.name), &type) << type.name;
  }
  EXPECT_EQ(GgufTypeOf(4), nullptr);
  EXPECT_EQ(GgufTypeNamed("Q4"), nullptr);
}

TEST(GgufTypes, BytesAreThoseOfWholeBlocksInEachRow) {
  const GgufType& q4 = *GgufTypeNamed("Q4_K");
  EXPECT_EQ(GgufBytes(q4, 4096 * 512, 512), Bytes(4096 * 2 * 144));
  EXPECT_EQ(GgufBytes(q4, 4096 * 384, 384), std::nullopt);
  EXPECT_EQ(GgufBytes(*GgufTypeNamed("F64"), int64_t{1} << 61, 2), std::nullopt);
}

}  // namespace
}  // namespace plimsoll
