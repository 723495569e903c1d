#include "kvcache/sizing/training_explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/kvcache/sizing/training_cases.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

Explanation Explained(const TrainingPlan& plan, std::string_view term) {
  absl::StatusOr<Explanation> explanation = ExplainTerm(plan, term);
  PLIMSOLL_CHECK(explanation.ok(), explanation.status().message());
  return *std::move(explanation);
}

TEST(TrainingExplain, MomentsOf13BByHand) {
  const TrainingPlan plan = Planned(UsualShape(13'000'000'000), Training(TrainingMethod::kMixed));
  const Explanation explained = Explained(plan, "moments");
  EXPECT_EQ(explained.value, 104'000'000'000);
  EXPECT_EQ(explained.unit, "bytes");
  ASSERT_EQ(explained.steps.size(), 3U);
  EXPECT_THAT(explained.steps[0].source, HasSubstr("Kingma and Ba"));
  EXPECT_EQ(explained.steps[1].text, "= 13000000000 parameters x 8 bytes");
}

// Whatever a plan may hold, it can say why: no term is without words and a source.
TEST(TrainingExplain, EveryTermOfEveryKindOfPlanHasAReasonAndItsFigure) {
  const auto check = [](const TrainingPlan& plan) {
    for (const TrainingTerm& term : plan.formulas) {
      const Explanation explained = Explained(plan, term.term);
      EXPECT_EQ(explained.value, term.bytes.value()) << term.term;
      EXPECT_EQ(explained.steps.size(), 3U) << term.term << " has no words";
      EXPECT_NE(explained.formula, term.formula) << term.term;
    }
    EXPECT_EQ(Explained(plan, "total").value, plan.total_bytes.value());
    EXPECT_EQ(Explained(plan, "activations").value, plan.activations_bytes.value());
  };
  for (int method = 0; method < 10; ++method) {
    for (const Offload offload : {Offload::kNone, Offload::kCpu, Offload::kNvme}) {
      for (int stage = 0; stage <= 3; ++stage) {
        TrainingOptions options = Training(static_cast<TrainingMethod>(method));
        options.offload = offload;
        options.zero_stage = stage;
        options.gpus = 2;
        options.recompute = static_cast<Recompute>(stage % 3);
        check(Planned(Llama31(), options));
        options.activation_formula = ActivationFormula::kClassic;
        check(Planned(Llama31(), options));
      }
    }
  }
  check(Planned(ModelNamed("mistralai/Mixtral-8x7B-v0.1"), Training(TrainingMethod::kLora)));
  check(Planned(OtherModelNamed("ai21labs/Jamba-v0.1"), Training(TrainingMethod::kMixed)));
}

TEST(TrainingExplain, WhatThePlanLacksIsRefusedWithWhatItHas) {
  const TrainingPlan plan = Planned(Llama31(), Training(TrainingMethod::kBf16));
  const absl::Status status = ExplainTerm(plan, "master_weights").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("explain=master_weights: want one of weights, gradients, moments, "));
  const std::vector<std::string> terms = ExplainableTerms(plan);
  EXPECT_EQ(std::count(terms.begin(), terms.end(), "total"), 1);
}

}  // namespace
}  // namespace plimsoll
