#include "engine/ops/kv_row.h"

#include <gmock/gmock.h>

#include <array>

#include "tests/engine/ops/problems.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;

// A row as stored, in memory that ends where it does.
struct StoredRow {
  ElementType type;
  std::vector<std::byte> numbers;
  std::vector<std::byte> word;

  StoredRow(ElementType stored_as, const std::vector<float>& x)
      : type(stored_as),
        numbers(static_cast<size_t>(BytesOf(type, std::ssize(x)).value())),
        word(HasWords(type) ? 4 : 0) {
    WriteKvRow(type, x.data(), std::ssize(x), numbers.data(), word.data());
  }
  double Read(int64_t d) const {
    return ReadKv(type, numbers.data(), ReadWord(type, word.data()), d);
  }
};

std::vector<int> Integers(const std::vector<std::byte>& bytes) {
  std::vector<int> integers;
  for (const std::byte each : bytes) integers.push_back(std::to_integer<int>(each));
  return integers;
}

// From -1 to 2 in 15 steps of a fifth; 0 is the fifth step, 0.49 the 7.45th. fp16 has no fifth:
// 0x3266 is 0.19995.
TEST(KvRow, Int4ByHand) {
  const StoredRow row(ElementType::kInt4, {-1, 2, 0, 0.49f, 2});
  EXPECT_THAT(Integers(row.numbers), ElementsAre(0xf0, 0x75, 0x0f));
  EXPECT_THAT(Integers(row.word), ElementsAre(0x66, 0x32, 0x00, 0xbc));
  EXPECT_EQ(row.Read(0), -1);
  EXPECT_DOUBLE_EQ(row.Read(2), -1 + 5 * 0.199951171875);
  EXPECT_DOUBLE_EQ(row.Read(4), -1 + 15 * 0.199951171875);
}

// From 0 to 255 in steps of one: the numbers are the values, half way to even.
TEST(KvRow, Int8ByHand) {
  const StoredRow row(ElementType::kInt8, {255, 0, 7, 2.5f, 3.5f, 99.7f});
  EXPECT_THAT(Integers(row.numbers), ElementsAre(255, 0, 7, 2, 4, 100));
  EXPECT_THAT(Integers(row.word), ElementsAre(0x00, 0x3c, 0, 0));
  EXPECT_EQ(row.Read(5), 100);
}

TEST(KvRow, Fp8ByHand) {
  const StoredRow row(ElementType::kFp8, {1, -0.5f, 1000});
  EXPECT_THAT(Integers(row.numbers), ElementsAre(0x38, 0xb0, 0x7e));
  EXPECT_EQ(row.Read(2), 448);
}

TEST(KvRow, ARowOfOneValueKeepsItToSixteenBits) {
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
    const StoredRow row(type, {0.3f, 0.3f, 0.3f});
    for (int64_t d = 0; d < 3; ++d) EXPECT_NEAR(row.Read(d), 0.3, 0.3 * 0x1p-11);
  }
}

// No value is further from what was stored than half a step and what fp16 rounds off the word.
TEST(KvRow, EveryValueIsWithinHalfAStep) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const auto& [type, steps] :
       {std::pair(ElementType::kInt8, 255.0f), std::pair(ElementType::kInt4, 15.0f)}) {
    for (const float scale : {1e-3f, 1.0f, 300.0f}) {
      for (const int64_t dim : {1, 2, 7, 64, 129}) {
        std::vector<float> x = RandomFloats(dim, rng, scale);
        for (float& each : x) each += 2 * scale;
        const auto [low, high] = std::minmax_element(x.begin(), x.end());
        const StoredRow row(type, x);
        const float fp16 = 0x1p-11f * (std::abs(*low) + *high - *low) + 0x1p-24f * steps;
        for (int64_t d = 0; d < dim; ++d) {
          ASSERT_NEAR(row.Read(d), x[static_cast<size_t>(d)], (*high - *low) / steps / 2 + fp16)
              << NameOf(type) << " " << dim;
        }
      }
    }
  }
}

TEST(KvRow, HugeNumbersStayFinite) {
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
    const StoredRow row(type, {-3e38f, 3e38f, 0});
    for (int64_t d = 0; d < 3; ++d) EXPECT_TRUE(std::isfinite(row.Read(d)));
  }
}

TEST(KvRow, WhatIsNotFiniteIsNotHidden) {
  for (const float odd : {NAN, INFINITY, -INFINITY}) {
    for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
      const StoredRow row(type, {1, odd, 2});
      for (int64_t d = 0; d < 3; ++d) EXPECT_TRUE(std::isnan(row.Read(d)));
    }
  }
  EXPECT_TRUE(std::isnan(StoredRow(ElementType::kFp8, {1, NAN}).Read(1)));
}

TEST(KvRowDeathTest, ATypeThatIsNotStoredAborts) {
  const float x = 1;
  std::array<std::byte, 8> memory{};
  EXPECT_DEATH(WriteKvRow(ElementType::kTf32, &x, 1, memory.data(), nullptr), "IsFloatStorage");
}

}  // namespace
}  // namespace plimsoll
