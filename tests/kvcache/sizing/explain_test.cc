#include "kvcache/sizing/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr int64_t kGiB = int64_t{1} << 30;

Explanation Explain(const ModelConfig& model, const InferenceOptions& options,
                    std::string_view term) {
  return *ExplainTerm(model, options, term);
}

std::string AllSteps(const Explanation& explanation) {
  return std::accumulate(explanation.steps.begin(), explanation.steps.end(), std::string(),
                         [](const std::string& all, const ExplainStep& step) {
                           return all + step.text + " [" + step.source + "]\n";
                         });
}

TEST(Explain, LogitsFromTheOptionsAndTheVocabulary) {
  const Explanation logits =
      Explain(Llama31(), {.device_bytes = Bytes(80 * kGiB), .max_sequences = 256}, "logits");
  EXPECT_EQ(logits.formula, "B x R x V x 4");
  EXPECT_EQ(logits.value, 256 * 128256 * 4);
  EXPECT_EQ(logits.unit, "bytes");
  EXPECT_EQ(AllSteps(logits),
            "B = 256 sequences of one step [--max-sequences]\n"
            "R = 1 rows of a sequence [1, and --lookahead-tokens]\n"
            "V = 128256 vocabulary [vocab_size of the model]\n"
            "256 sequences x 128256 vocabulary x 4 bytes = 131334144 bytes []\n");
}

TEST(Explain, WeightsTensorByTensor) {
  const Explanation weights = Explain(Llama31(), {.device_bytes = Bytes(80 * kGiB)}, "weights");
  EXPECT_EQ(weights.value, 16060522496);
  EXPECT_THAT(AllSteps(weights), HasSubstr("4096 x 4096 x 32 layers = 536870912 elements "
                                           "[model.layers.{layer}.self_attn.q_proj.weight]\n"));
  EXPECT_THAT(AllSteps(weights), HasSubstr("together 8030261248 parameters"));
}

TEST(Explain, KAndVLayerByLayer) {
  const std::string kv = AllSteps(Explain(Llama31(), {.device_bytes = Bytes(80 * kGiB)}, "kv"));
  EXPECT_THAT(kv, HasSubstr("32 layers: 8 kv heads x (128 of K + 128 of V) in bf16, scales "
                            "included = 131072 bytes a token"));
  EXPECT_THAT(kv, HasSubstr("a block has 16 tokens: 2097152 bytes"));
  EXPECT_THAT(kv, HasSubstr("- 16060522496 bytes of weights"));
}

TEST(Explain, LayersWithAWindowAreTheirOwnKind) {
  const ModelConfig model = OtherModelNamed("openai/gpt-oss-120b");
  const std::string kv = AllSteps(Explain(model, {.device_bytes = Bytes(141 * kGiB)}, "kv"));
  EXPECT_THAT(kv, HasSubstr("18 layers: "));
  EXPECT_THAT(kv, HasSubstr("18 layers, window 128: "));
  EXPECT_EQ(
      Explain(model, {.device_bytes = Bytes(141 * kGiB)}, "window").value,
      PlanInference(model, {.device_bytes = Bytes(141 * kGiB)})->window_bytes_per_sequence.value());
}

TEST(Explain, AnUnknownTermIsRefusedWithThoseThereAre) {
  const auto refused = ExplainTerm(Llama31(), {.device_bytes = Bytes(80 * kGiB)}, "wieghts");
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("explain=wieghts: want one of weights, input, output"));
  // Llama has neither windows nor recurrent layers.
  EXPECT_FALSE(ExplainTerm(Llama31(), {.device_bytes = Bytes(80 * kGiB)}, "state").ok());
  EXPECT_THAT(ExplainableTerms(*PlanInference(Llama31(), {.device_bytes = Bytes(80 * kGiB)})),
              AllOf(Contains("budget"), Contains("sequences"), Not(Contains("window"))));
}

// Of every published model, every term: the plan's own figure, and the last step ends in it.
class ExplainEvery : public testing::TestWithParam<PublishedModel> {};

TEST_P(ExplainEvery, TermEndsInThePlansFigure) {
  const ModelConfig model = ModelNamed(GetParam().name);
  for (const ElementType type : {ElementType::kBf16, ElementType::kInt4}) {
    InferenceOptions options{.device_bytes = Bytes(2000 * kGiB)};
    options.weights = type;
    const InferencePlan plan = *PlanInference(model, options);
    for (const std::string& term : ExplainableTerms(plan)) {
      const Explanation explanation = Explain(model, options, term);
      ASSERT_FALSE(explanation.steps.empty());
      EXPECT_FALSE(explanation.formula.empty());
      EXPECT_THAT(explanation.steps.back().text, HasSubstr(std::to_string(explanation.value)));
    }
    for (const PlanTerm& term : plan.formulas) {
      EXPECT_EQ(Explain(model, options, term.term).value, term.bytes.value()) << term.term;
    }
    EXPECT_EQ(Explain(model, options, "budget").value, plan.budget_bytes.value());
    EXPECT_EQ(Explain(model, options, "blocks").value, plan.blocks.value());
    EXPECT_EQ(Explain(model, options, "unused").value, plan.unused_bytes.value());
  }
}

INSTANTIATE_TEST_SUITE_P(Published, ExplainEvery, testing::ValuesIn(kPublishedModels),
                         [](const testing::TestParamInfo<PublishedModel>& row) {
                           return "Row" + std::to_string(row.index);
                         });

}  // namespace
}  // namespace plimsoll
