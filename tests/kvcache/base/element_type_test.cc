#include "kvcache/base/element_type.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace plimsoll {
namespace {

constexpr std::array kAll = {ElementType::kFp32, ElementType::kTf32, ElementType::kFp16,
                             ElementType::kBf16, ElementType::kFp8,  ElementType::kInt8,
                             ElementType::kInt4};

TEST(ElementTypes, Tf32IsStoredInFourBytes) {
  EXPECT_EQ(BytesOf(ElementType::kTf32, 10), Bytes(40));
  EXPECT_EQ(BytesOf(ElementType::kFp32, 10), Bytes(40));
  EXPECT_EQ(BytesOf(ElementType::kFp16, 10), Bytes(20));
  EXPECT_EQ(BytesOf(ElementType::kBf16, 10), Bytes(20));
  EXPECT_EQ(BytesOf(ElementType::kFp8, 10), Bytes(10));
  EXPECT_EQ(BytesOf(ElementType::kInt8, 10), Bytes(10));
}

TEST(ElementTypes, AnOddNumberOfInt4RoundsUpToAByte) {
  EXPECT_EQ(BytesOf(ElementType::kInt4, 10), Bytes(5));
  EXPECT_EQ(BytesOf(ElementType::kInt4, 11), Bytes(6));
  EXPECT_EQ(BytesOf(ElementType::kInt4, 0), Bytes(0));
}

TEST(ElementTypes, EveryNameReadsBack) {
  for (const ElementType type : kAll) EXPECT_EQ(ElementTypeFromName(NameOf(type)), type);
}

TEST(ElementTypes, HuggingFaceSpellingsAreKnown) {
  EXPECT_EQ(ElementTypeFromName("torch.bfloat16"), ElementType::kBf16);
  EXPECT_EQ(ElementTypeFromName("float16"), ElementType::kFp16);
  EXPECT_EQ(ElementTypeFromName("half"), ElementType::kFp16);
  EXPECT_EQ(ElementTypeFromName("float32"), ElementType::kFp32);
  EXPECT_EQ(ElementTypeFromName("float"), ElementType::kFp32);
}

TEST(ElementTypes, OtherNamesAreUnknown) {
  for (const std::string name : {"", "int3", "BF16", "torch.", "fp16 ", "bfloat"}) {
    EXPECT_EQ(ElementTypeFromName(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace plimsoll
