// Rounding rows to int8 and int4: examples by hand, then bounds on every element.
#include "engine/weights/quantise.h"

#include <gmock/gmock.h>

#include <limits>

#include "engine/weights/safetensors_writer.h"
#include "engine/weights/weights.h"
#include "kvcache/sizing/weight_format.h"
#include "tests/engine/ops/quantised_problems.h"
#include "tests/engine/support/tiny_model.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Rounded {
  std::vector<std::byte> bytes;
  std::vector<std::byte> scales;
  WeightView view;
  bool fits;

  Rounded(ElementType type, int64_t group, const std::vector<float>& row)
      : view{.type = type, .rows = 1, .cols = std::ssize(row), .group = group} {
    bytes.resize(static_cast<size_t>(RowBytesOf(view)));
    scales.resize(static_cast<size_t>(ScaleBytesOf(view)));
    fits = QuantiseRow(type, group, row, bytes.data(), scales.data());
    view.data = bytes.data();
    view.scales = scales.data();
  }
  Rounded(const Rounded&) = delete;
  Rounded& operator=(const Rounded&) = delete;

  std::vector<int> Bytes() const {
    std::vector<int> numbers;
    for (const std::byte each : bytes) numbers.push_back(std::to_integer<int>(each));
    return numbers;
  }
  float Half(int64_t at) const { return ReadElement(scales.data(), ElementType::kFp16, at); }
};

// The largest is 254 = 2 * 127; 1 and 3 lie half way and go to the even number.
TEST(Quantise, Int8ScalesTheLargestTo127) {
  const Rounded row(ElementType::kInt8, 5, {254, -254, 1, 3, -7});
  EXPECT_TRUE(row.fits);
  EXPECT_EQ(row.Half(0), 2.0f);
  EXPECT_THAT(row.Bytes(), ElementsAre(127, 256 - 127, 0, 2, 256 - 4));
}

// From -4 to 11 in 15 steps of 1: zero is 4. Three numbers need two bytes.
TEST(Quantise, Int4CoversFromTheLeastToTheMost) {
  const Rounded row(ElementType::kInt4, 3, {-4, 11, 2.4f});
  EXPECT_TRUE(row.fits);
  EXPECT_EQ(row.Half(0), 1.0f);
  EXPECT_EQ(row.Half(1), 4.0f);
  EXPECT_THAT(row.Bytes(), ElementsAre(0xf0, 0x06));
}

// Zero itself is always among what a group covers.
TEST(Quantise, Int4OfPositiveNumbersStartsAtZero) {
  const Rounded row(ElementType::kInt4, 2, {30, 15});
  EXPECT_EQ(row.Half(0), 2.0f);
  EXPECT_EQ(row.Half(1), 0.0f);
  EXPECT_THAT(row.Bytes(), ElementsAre(0x8f));  // 7.5 goes to 8
}

TEST(Quantise, ZerosStayZeros) {
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
    const Rounded row(type, 32, std::vector<float>(40, 0.0f));
    EXPECT_TRUE(row.fits);
    for (int64_t i = 0; i < 40; ++i) EXPECT_EQ(WeightElement(row.view, 0, i), 0);
  }
}

// Half a step, and at the ends of the range as many times what the scale lost in fp16 as there are
// steps: half of its last bit, which below 2^-14 is 2^-24.
double LargestError(ElementType type, double step) {
  const double lost = std::max(step * 0x1p-11, 0x1p-25);
  return step / 2 + (type == ElementType::kInt4 ? 15 : 127) * lost * 1.001;
}

TEST(Quantise, EveryElementIsWithinHalfAStep) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
    for (const int64_t cols : {1, 31, 32, 33, 128, 300}) {
      for (const float size : {1e-6f, 0.02f, 300.0f}) {
        const std::vector<float> row = RandomFloats(cols, rng, size);
        const Rounded rounded(type, 32, row);
        ASSERT_TRUE(rounded.fits);
        for (int64_t i = 0; i < cols; ++i) {
          const int64_t word = i / 32 * (type == ElementType::kInt4 ? 2 : 1);
          const double step = rounded.Half(word);
          ASSERT_GT(step, 0);
          ASSERT_LE(std::abs(WeightElement(rounded.view, 0, i) - row[static_cast<size_t>(i)]),
                    LargestError(type, step))
              << NameOf(type) << " " << i << " of " << cols << " at " << size;
        }
      }
    }
  }
}

TEST(Quantise, WhatIsNotFiniteOrTooLargeIsRefused) {
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::infinity(), -1e30f}) {
      std::vector<float> row(40, 1.0f);
      row[35] = bad;
      EXPECT_FALSE(Rounded(type, 32, row).fits) << NameOf(type) << " " << bad;
    }
  }
}

// Of models whose matrices do and do not fill whole groups, in each type they may be stored in.
TEST(QuantisedWeights, TakeExactlyWhatThePlanSays) {
  for (const char* const dtype : {"bfloat16", "float16", "float32"}) {
    for (const int64_t hidden : {64, 136}) {
      for (const bool tied : {false, true}) {
        const TinyModel model(
            {.layers = 2, .hidden = hidden, .intermediate = 200, .tied = tied, .dtype = dtype});
        for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
          const auto weights = Weights::Load(model.folder(), model.config, type);
          ASSERT_TRUE(weights.ok()) << weights.status();
          EXPECT_EQ((*weights)->tensor_bytes(), WeightBytesOf(model.config, type).total)
              << dtype << " " << hidden << " " << NameOf(type);
        }
      }
    }
  }
}

TEST(QuantisedWeights, MatricesAreRoundedAndTheRestIsNot) {
  const TinyModel model({.intermediate = 200, .dtype = "float32"});
  const auto weights = Weights::Load(model.folder(), model.config, ElementType::kInt4);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  const WeightView down = (*weights)->Find(name);
  const WeightView plain = model.weights->Find(name);
  ASSERT_EQ(down.type, ElementType::kInt4);
  EXPECT_EQ(down.group, 128);
  for (int64_t row = 0; row < down.rows; ++row) {
    std::vector<float> values;
    for (int64_t i = 0; i < 200; ++i) {
      values.push_back(static_cast<float>(WeightElement(plain, row, i)));
    }
    const Rounded want(ElementType::kInt4, 128, values);
    for (int64_t i = 0; i < 200; ++i) {
      ASSERT_EQ(WeightElement(down, row, i), WeightElement(want.view, 0, i)) << row << ", " << i;
    }
  }
  for (const char* const kept : {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight",
                                 "model.layers.0.input_layernorm.weight"}) {
    const WeightView view = (*weights)->Find(kept);
    EXPECT_EQ(view.type, ElementType::kBf16) << kept;
    EXPECT_EQ(view.scales, nullptr);
    EXPECT_EQ(WeightElement(view, 0, 3), FloatFromBf16(Bf16FromFloat(static_cast<float>(
                                             WeightElement(model.weights->Find(kept), 0, 3)))));
  }
}

TEST(QuantisedWeights, ANumberThatCannotBeScaledIsRefusedByTensorAndRow) {
  const TempDir dir;
  ModelConfig model;
  model.tensors = {{.name = "w", .role = TensorRole::kLinear, .shape = {3, 4}}};
  auto writer =
      SafetensorsWriter::Create(dir.File("model.safetensors"), {{"w", ElementType::kFp32, {3, 4}}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::vector<float> values(12, 1.0f);
  values[9] = std::numeric_limits<float>::infinity();
  ASSERT_TRUE((*writer)->Append(std::as_bytes(std::span(values))).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  EXPECT_TRUE(Weights::Load(dir.path(), model).ok());
  const auto weights = Weights::Load(dir.path(), model, ElementType::kInt8);
  EXPECT_EQ(weights.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(weights.status().message()),
              HasSubstr("model.safetensors: tensor w: row=2: want numbers that fp16 can scale"));
}

}  // namespace
}  // namespace plimsoll
