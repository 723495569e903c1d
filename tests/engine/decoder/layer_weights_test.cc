#include "engine/decoder/layer_weights.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "tests/engine/decoder/naive_llama.h"
#include "tests/engine/support/tiny_model.h"

namespace plimsoll {
namespace {

// Five rows of six numbers, and of them the rows 2 and 3.
TEST(RowsOf, AFloatMatrixMovesByWholeRows) {
  const std::vector<std::byte> data(60);
  const WeightView all{data.data(), ElementType::kBf16, 5, 6};
  const WeightView some = RowsOf(all, 2, 2);
  EXPECT_EQ(some.data, data.data() + 2 * 6 * 2);
  EXPECT_EQ(some.rows, 2);
  EXPECT_EQ(some.cols, 6);
  EXPECT_EQ(some.type, ElementType::kBf16);
  EXPECT_EQ(some.scales, nullptr);
}

TEST(RowsOf, ScalesMoveAlong) {
  const std::vector<std::byte> data(60), scales(60);
  const WeightView bytes{data.data(), ElementType::kInt8, 5, 6, scales.data(), 6};
  EXPECT_EQ(RowsOf(bytes, 3, 2).data, data.data() + 3 * 6);
  EXPECT_EQ(RowsOf(bytes, 3, 2).scales, scales.data() + 3 * 2);
  // Seven numbers in four bytes; groups of 4 make two scales with their zeros.
  const WeightView nibbles{data.data(), ElementType::kInt4, 5, 7, scales.data(), 4};
  EXPECT_EQ(RowsOf(nibbles, 3, 2).data, data.data() + 3 * 4);
  EXPECT_EQ(RowsOf(nibbles, 3, 2).scales, scales.data() + 3 * 2 * 4);
  EXPECT_EQ(RowsOf(nibbles, 3, 2).group, 4);
}

TEST(RowsOf, OfNothingThereIsNothing) { EXPECT_EQ(RowsOf({}, 3, 2).data, nullptr); }

TEST(RowsOfDeathTest, RowsThatAreNotThereAbort) {
  const std::vector<std::byte> data(60);
  const WeightView all{data.data(), ElementType::kBf16, 5, 6};
  EXPECT_DEATH(RowsOf(all, 4, 2), "check failed");
  EXPECT_DEATH(RowsOf(all, -1, 2), "check failed");
}

// Slices of fused matrices, and experts, with the scales that are theirs: as a float path over the
// same weights computes it.
TEST(QuantisedLayers, AgreeWithFloatsOverTheSameWeights) {
  const std::vector<int32_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
  const std::vector<TinyShape> shapes = {
      {.architecture = "Phi3ForCausalLM", .hidden = 192, .intermediate = 160, .head_dim = 24},
      {.architecture = "Gemma2ForCausalLM", .tied = true},
      {.architecture = "Qwen2MoeForCausalLM", .more = R"(, "num_experts": 4,
       "num_experts_per_tok": 2, "moe_intermediate_size": 80,
       "shared_expert_intermediate_size": 40)"}};
  for (const TinyShape& shape : shapes) {
    TinyModel model(shape);
    for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
      SCOPED_TRACE(shape.architecture + " " + std::string(NameOf(type)));
      model.weights = *Weights::Load(model.folder(), model.config, type);
      const std::vector<float> want = NaiveLlama(model.config, *model.weights).Logits(tokens);
      TinyEngine reference(model, ReferenceOps(), {.kv = ElementType::kFp32});
      EXPECT_LT(RelativeError(reference.LogitsOf(tokens, 11), want), 2e-5);
      TinyEngine fast(model, CpuOps(), {.kv = ElementType::kFp32});
      EXPECT_LT(RelativeError(fast.LogitsOf(tokens, 4), want), 1e-3);
    }
  }
}

}  // namespace
}  // namespace plimsoll
