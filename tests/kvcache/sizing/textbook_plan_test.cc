// What textbooks say of inference, to the digit, and how far the exact figures are from it.
#include "kvcache/sizing/textbook_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

constexpr int64_t kGB = 1'000'000'000;
constexpr int64_t kGiB = int64_t{1} << 30;

TEST(TextbookPlan, WeightsOf7And13And70BillionAre14And26And140GBInFp16) {
  EXPECT_EQ(PlanByTextbook({.parameters = 7 * kGB})->weights_bytes, Bytes(14 * kGB));
  EXPECT_EQ(PlanByTextbook({.parameters = 13 * kGB})->weights_bytes, Bytes(26 * kGB));
  EXPECT_EQ(PlanByTextbook({.parameters = 70 * kGB})->weights_bytes, Bytes(140 * kGB));
  EXPECT_EQ(PlanByTextbook({.parameters = 13 * kGB, .weights = ElementType::kFp32})->weights_bytes,
            Bytes(52 * kGB));
  EXPECT_EQ(PlanByTextbook({.parameters = 7 * kGB, .weights = ElementType::kInt4})->weights_bytes,
            Bytes(7 * kGB / 2));
}

TEST(TextbookPlan, InputAndOutputOf13BAt1024TokensAre10MiBEach) {
  const TextbookPlan plan = *PlanByTextbook({.parameters = 13 * kGB, .step = Tokens(1024)});
  EXPECT_EQ(plan.shape.layers, 40);
  EXPECT_EQ(plan.shape.hidden, 5120);
  EXPECT_EQ(plan.input_bytes, Bytes(10 << 20));
  EXPECT_EQ(plan.output_bytes, Bytes(10 << 20));
  EXPECT_EQ(plan.kv_bytes_per_token, Bytes(2 * 40 * 5120 * 2));
}

TEST(TextbookPlan, ServingTakesOneAndAHalfToTwoAndAHalfTimesTheWeights) {
  const TextbookPlan plan = *PlanByTextbook({.parameters = 7 * kGB});
  EXPECT_EQ(plan.serving_least_bytes, Bytes(21 * kGB));
  EXPECT_EQ(plan.serving_most_bytes, Bytes(35 * kGB));
}

TEST(TextbookPlan, EveryFigureHasItsFormula) {
  const TextbookPlan plan = *PlanByTextbook({.parameters = 13 * kGB});
  ASSERT_EQ(plan.formulas.size(), 6U);
  EXPECT_EQ(plan.formulas[0].formula, "13000000000 parameters x 2 bytes");
  EXPECT_EQ(plan.formulas[1].formula, "1024 tokens x 5120 hidden x 2 bytes");
}

TEST(TextbookPlan, OutOfRangeIsRefused) {
  EXPECT_THAT(std::string(PlanByTextbook({.parameters = 0}).status().message()),
              HasSubstr("parameters=0"));
  EXPECT_THAT(std::string(PlanByTextbook({.parameters = 1, .step = Tokens(0)}).status().message()),
              HasSubstr("max_batched_tokens=0"));
}

// hV + L(12h^2 + 13h) + 2h counts one vocabulary matrix where LLaMA has two, and an FFN of 8h^2.
TEST(TextbookErrors, TheCountOfLlama7BIsALittleOff) {
  const ModelConfig model = Llama7B();
  const InferencePlan plan = *PlanInference(model, {.device_bytes = Bytes(80 * kGiB)});
  const TextbookErrors errors = CompareWithTextbook(model, plan, {});
  const int64_t h = 4096, layers = 32, vocabulary = 32000;
  EXPECT_EQ(errors.parameters, h * vocabulary + layers * (12 * h * h + 13 * h) + 2 * h);
  const double exact = 6738415616;
  EXPECT_NEAR(errors.parameters_error,
              100.0 * (static_cast<double>(*errors.parameters) - exact) / exact, 1e-9);
  EXPECT_LT(errors.parameters_error, 0);
  EXPECT_GT(errors.parameters_error, -3);
}

TEST(TextbookErrors, TheItemisedFigureIsAllTermsAndTheLoadsKAndV) {
  const ModelConfig model = Llama7B();
  const InferencePlan plan = *PlanInference(model, {.device_bytes = Bytes(80 * kGiB)});
  const TextbookErrors errors =
      CompareWithTextbook(model, plan, {.sequences = 4, .context = Tokens(2048)});
  const Bytes terms = plan.budget_bytes - plan.kv_pool_bytes - plan.unused_bytes;
  EXPECT_EQ(errors.itemised_bytes, terms + Bytes(4 * 2048 * 524288LL));
  EXPECT_EQ(errors.serving_least_bytes, Bytes(3 * 6738415616));
  EXPECT_NEAR(errors.itemised_ratio,
              static_cast<double>(errors.itemised_bytes.value()) / (2.0 * 6738415616), 1e-12);
  EXPECT_NEAR(errors.serving_least_error, 100.0 * (1.5 / errors.itemised_ratio - 1), 1e-6);
  EXPECT_NEAR(errors.serving_most_error, 100.0 * (2.5 / errors.itemised_ratio - 1), 1e-6);
}

TEST(TextbookErrors, TheRuleMissesLongContextsByFar) {
  const InferencePlan plan = *PlanInference(Llama31(), {.device_bytes = Bytes(141 * kGiB)});
  const TextbookErrors few =
      CompareWithTextbook(Llama31(), plan, {.sequences = 1, .context = Tokens(4096)});
  EXPECT_LT(few.itemised_ratio, 1.5) << "the rule asks for too much";
  const TextbookErrors many =
      CompareWithTextbook(Llama31(), plan, {.sequences = 4, .context = Tokens(131072)});
  EXPECT_GT(many.itemised_ratio, 2.5) << "and here for too little";
  EXPECT_LT(many.serving_most_error, 0);
}

// Published peaks of an H100: 4.76 to 4.84 GiB of Llama-3 models, 5.56 to 5.64 of Qwen3, 7.38 of
// gpt-oss, whatever their size.
TEST(VllmPeak, IsTheVocabularysAndNotTheModels) {
  const auto peak = [](int64_t vocabulary, int64_t device_gib) {
    ModelConfig model = Llama31();
    model.vocab_size = vocabulary;
    const Bytes bytes = VllmPeak(model, Bytes(device_gib * kGiB));
    return static_cast<double>(bytes.value()) / static_cast<double>(kGiB);
  };
  EXPECT_NEAR(peak(128256, 79), 4.80, 0.10);
  EXPECT_NEAR(peak(151936, 79), 5.60, 0.05);
  EXPECT_NEAR(peak(201088, 79), 7.38, 0.01);
  EXPECT_NEAR(peak(128256, 24) * 4, peak(128256, 79), 1e-9) << "a quarter of the sequences";
}

}  // namespace
}  // namespace plimsoll
