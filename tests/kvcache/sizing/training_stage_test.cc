#include "kvcache/sizing/training_stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "kvcache/sizing/training_activations.h"
#include "tests/kvcache/sizing/training_cases.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

TrainingOptions Piped(int64_t stages, int64_t interleave = 1) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.gpus = options.pipeline_parallel = stages;
  options.interleave = interleave;
  return options;
}

// One stage after the other sends on one microbatch less before its first backward pass.
TEST(TrainingStage, KeepsAMicrobatchForEachStageBehindIt) {
  const TrainingOptions options = Piped(4);
  for (int64_t index = 0; index < 4; ++index) {
    const TrainingStage stage = StageAt(index, options);
    EXPECT_EQ(stage.chunks_in_flight, 4 - index);
    EXPECT_EQ(stage.chunks, 1);
    EXPECT_EQ(stage.last, index == 3);
  }
}

// The first of 4 stages, 2 chunks each: 11 chunks of an eighth are 1 + 3/8 models.
TEST(TrainingStage, InterleavedKeepsMore) {
  EXPECT_EQ(StageAt(0, Piped(4, 2)).chunks_in_flight, 11);
  EXPECT_EQ(StageAt(3, Piped(4, 2)).chunks_in_flight, 5);
}

TEST(TrainingStage, FirstAndLastStageOfLlama31ByHand) {
  const TrainingOptions options = Piped(4);
  const ModelConfig first = PartOf(Llama31(), StageAt(0, options), options);
  constexpr int64_t kLayer = 218'112'000;
  constexpr int64_t kTable = int64_t{128'256} * 4096;
  EXPECT_EQ(first.layers, 8);
  EXPECT_EQ(first.Parameters(), kTable + 8 * kLayer);
  EXPECT_EQ(PartOf(Llama31(), StageAt(1, options), options).Parameters(), 8 * kLayer);
  EXPECT_EQ(PartOf(Llama31(), StageAt(3, options), options).Parameters(),
            8 * kLayer + 4096 + kTable);
}

// However the layers are cut, nothing is lost and nothing counts twice but a tied embedding.
TEST(TrainingStage, PartsOfEveryPublishedModelAddUpToIt) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE(absl::StrCat("rerun with --gtest_random_seed=", seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  const auto check = [&](const ModelConfig& model) {
    SCOPED_TRACE(model.name);
    const int64_t stages = 2 + static_cast<int64_t>(rng() % 7);
    const TrainingOptions options = Piped(stages, 1 + static_cast<int64_t>(rng() % 2));
    if (!CheckStages(model.layers, options).ok()) return;
    int64_t parameters = 0, layers = 0;
    size_t attention = 0;
    for (int64_t index = 0; index < stages; ++index) {
      const ModelConfig part = PartOf(model, StageAt(index, options), options);
      parameters += part.Parameters();
      layers += part.layers;
      attention += part.attention.size();
      EXPECT_EQ(AttendingLayers(part).size(), part.attention.size());
    }
    const bool has_head =
        std::any_of(model.tensors.begin(), model.tensors.end(),
                    [](const TensorSpec& tensor) { return tensor.role == TensorRole::kHead; });
    int64_t tied = 0;
    for (const TensorSpec& tensor : model.tensors) {
      if (!has_head && tensor.role == TensorRole::kEmbedding &&
          tensor.shape[0] == model.vocab_size) {
        tied += tensor.Elements();
      }
    }
    EXPECT_EQ(parameters, model.Parameters() + tied);
    EXPECT_EQ(layers, model.layers);
    EXPECT_EQ(attention, model.attention.size());
  };
  for (const PublishedModel& row : kPublishedModels) check(ModelNamed(row.name));
  for (const PublishedModel& row : kOtherPublishedModels) check(OtherModelNamed(row.name));
}

// Korthikanti et al.: depth does not change what the first stage saves; interleaving adds
// (p - 1) / (pm).
TEST(TrainingStage, TheFirstStageOfGpt3SavesAWholeModelsWorth) {
  const TextbookModel gpt3 = UsualShape(175'000'000'000);
  const auto activations = [&](TrainingOptions options) {
    options.sequence = Tokens(2048);
    const TrainingPlan plan = Planned(gpt3, options);
    EXPECT_EQ(plan.stage, 0);
    return plan.activations_bytes;
  };
  const Bytes whole = activations(Training(TrainingMethod::kMixed));
  EXPECT_EQ(InGiB(whole), "256.5");
  EXPECT_EQ(activations(Piped(8)), whole);
  EXPECT_EQ(activations(Piped(8, 2)), Bytes(whole.value() * 23 / 16));
}

// The first stage keeps four microbatches of a quarter of the layers, the last one of its own and
// the logits: with one sequence of 1024 tokens the first takes more, with no more than 16 the last.
TEST(TrainingStage, ThePlanIsOfTheFullestStage) {
  const TrainingPlan longer = Planned(Llama31(), Piped(4));
  EXPECT_EQ(longer.stage, 0);
  EXPECT_EQ(TermOf(longer, "logits"), Bytes(0));
  EXPECT_EQ(TermOf(longer, "log_sum_exp"), Bytes(1024 * 4 * 32 * 32));
  EXPECT_EQ(longer.weights_bytes, Bytes(2 * (int64_t{128'256} * 4096 + 8 * int64_t{218'112'000})));
  TrainingOptions options = Piped(4);
  options.recompute = Recompute::kFull;
  options.sequence = Tokens(16);
  const TrainingPlan shorter = Planned(Llama31(), options);
  EXPECT_EQ(shorter.stage, 3);
  EXPECT_EQ(TermOf(shorter, "logits"), Bytes(16 * 4 * 128'256));
}

TEST(TrainingStage, WhatIsRecomputedIsOneLayerOfOneMicrobatch) {
  TrainingOptions options = Piped(4);
  options.recompute = Recompute::kFull;
  options.sequence = Tokens(4096);
  const TrainingPlan plan = Planned(Llama7B(), options);
  EXPECT_EQ(plan.stage, 0);
  EXPECT_EQ(TermOf(plan, "layer_inputs"), Bytes(int64_t{4096} * 2 * 4096 * 32));
  EXPECT_EQ(TermOf(plan, "recomputed_layer"), Bytes(4096 * 153'728));
}

TEST(TrainingStage, FormulasSayWhatIsInFlight) {
  const auto formula = [](const TrainingOptions& options) {
    return Planned(Llama31(), options).formulas.back().formula;
  };
  EXPECT_THAT(formula(Piped(4)), HasSubstr(" x 4 microbatches in flight"));
  EXPECT_THAT(formula(Piped(4, 2)), HasSubstr(" x 11 chunks in flight / 2"));
}

TEST(TrainingStage, AdaptersOfAHybridCountWhereTheirLayersAre) {
  TrainingOptions options = Piped(4);
  options.method = TrainingMethod::kLora;
  const TrainingPlan plan = Planned(OtherModelNamed("ai21labs/Jamba-v0.1"), options);
  EXPECT_EQ(plan.trained_parameters, 4 * 16 * ((4096 + 4096) + (4096 + 1024)));
}

TEST(TrainingStage, MoreChunksThanLayersAreRefused) {
  EXPECT_EQ(PlanTraining(Llama31(), Piped(33)).status().message(),
            "pipeline_parallel=33: want no more than the 32 layers");
  EXPECT_EQ(PlanTraining(Llama31(), Piped(8, 5)).status().message(),
            "pipeline_parallel x interleave=40: want no more than the 32 layers");
  TrainingOptions alone = Training(TrainingMethod::kMixed);
  alone.interleave = 2;
  EXPECT_THAT(std::string(PlanTraining(Llama31(), alone).status().message()),
              HasSubstr("interleave=2: want pipeline_parallel of 2 or more"));
  TrainingOptions odd = Piped(4);
  odd.gpus = 6;
  EXPECT_THAT(std::string(PlanTraining(Llama31(), odd).status().message()),
              HasSubstr("gpus=6: want a multiple of tensor_parallel=1 x pipeline_parallel=4"));
}

TrainingOptions SharedExperts(int64_t gpus, int64_t ranks) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.gpus = gpus;
  options.expert_parallel = ranks;
  return options;
}

// Mixtral: 46,702,792,704 parameters, of them 32 x 8 x 3 x 4096 x 14336 in experts.
TEST(ExpertParallel, GivesEachReplicaItsExperts) {
  const ModelConfig mixtral = ModelNamed("mistralai/Mixtral-8x7B-v0.1");
  constexpr int64_t kExperts = int64_t{32} * 8 * 3 * 4096 * 14336;
  const int64_t others = mixtral.Parameters() - kExperts;
  EXPECT_EQ(Planned(mixtral, SharedExperts(8, 1)).weights_bytes, Bytes(2 * mixtral.Parameters()));
  const TrainingPlan shared = Planned(mixtral, SharedExperts(8, 4));
  EXPECT_EQ(shared.weights_bytes, Bytes(2 * (others + kExperts / 4)));
  EXPECT_EQ(shared.activations_bytes, Planned(mixtral, SharedExperts(8, 1)).activations_bytes);
}

// Two replicas hold the same experts, eight all else: together they split as one set would.
TEST(ExpertParallel, SplitsWhatZeroSplitsAlready) {
  const ModelConfig mixtral = ModelNamed("mistralai/Mixtral-8x7B-v0.1");
  TrainingOptions shared = SharedExperts(8, 4);
  TrainingOptions alone = SharedExperts(8, 1);
  shared.zero_stage = alone.zero_stage = 3;
  EXPECT_EQ(StatesOf(Planned(mixtral, shared)), StatesOf(Planned(mixtral, alone)));
}

TEST(ExpertParallel, ThatDoesNotDivideIsRefused) {
  const auto why = [](const ModelConfig& model, int64_t gpus, int64_t ranks) {
    return std::string(PlanTraining(model, SharedExperts(gpus, ranks)).status().message());
  };
  const ModelConfig mixtral = ModelNamed("mistralai/Mixtral-8x7B-v0.1");
  EXPECT_EQ(why(mixtral, 16, 16), "expert_parallel=16: want a divisor of the 8 experts");
  EXPECT_EQ(why(mixtral, 2, 4), "expert_parallel=4: want a divisor of the 2 replicas");
  EXPECT_EQ(why(Llama31(), 4, 4), "expert_parallel=4: want 1, since the model has no experts");
  EXPECT_THAT(
      std::string(PlanTraining(UsualShape(1'000'000), SharedExperts(4, 4)).status().message()),
      HasSubstr("expert_parallel=4"));
}

}  // namespace
}  // namespace plimsoll
