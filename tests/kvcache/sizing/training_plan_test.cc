#include "kvcache/sizing/training_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "kvcache/sizing/training_fits.h"
#include "tests/kvcache/sizing/training_cases.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

constexpr int64_t kBillion = 1'000'000'000;

// Options that a plan of Llama-3.1-8B accepts.
TrainingOptions RandomOptions(std::mt19937& rng) {
  const auto below = [&](int64_t n) {
    return std::uniform_int_distribution<int64_t>(0, n - 1)(rng);
  };
  TrainingOptions options = Training(static_cast<TrainingMethod>(below(10)));
  options.batch = 1 + below(64);
  options.sequence = Tokens(1 + below(8192));
  options.lora_rank = 1 + below(256);
  options.zero_stage = static_cast<int>(below(4));
  options.tensor_parallel = int64_t{1} << below(4);
  options.pipeline_parallel = int64_t{1} << below(4);
  options.interleave = options.pipeline_parallel > 1 ? 1 + below(4) : 1;
  options.gpus = options.ranks() * (1 + below(64));
  options.sequence_parallel = options.tensor_parallel > 1 && below(2) == 1;
  options.recompute = static_cast<Recompute>(below(3));
  options.activation_formula = static_cast<ActivationFormula>(below(2));
  options.offload = static_cast<Offload>(below(3));
  return options;
}

class TrainingPlanProperty : public testing::Test {
 protected:
  template <class Check>
  void ForRandomOptions(Check check) {
    const int seed = testing::UnitTest::GetInstance()->random_seed();
    SCOPED_TRACE(absl::StrCat("rerun with --gtest_random_seed=", seed));
    std::mt19937 rng(static_cast<uint32_t>(seed));
    for (int i = 0; i < 300 && !HasFailure(); ++i) check(RandomOptions(rng), rng);
  }
};

TEST_F(TrainingPlanProperty, TermsAddUpToTheGroupsAndTheTotal) {
  ForRandomOptions([](const TrainingOptions& options, std::mt19937&) {
    const TrainingPlan plan = Planned(Llama31(), options);
    Bytes sum;
    for (const TrainingTerm& term : plan.formulas) {
      if (term.group < TrainingGroup::kHost) sum += term.bytes;
    }
    EXPECT_EQ(sum, plan.total_bytes);
    EXPECT_EQ(sum, StatesOf(plan) + plan.activations_bytes + plan.buffers_bytes);
  });
}

TEST_F(TrainingPlanProperty, MoreReplicasNeverTakeMore) {
  ForRandomOptions([](const TrainingOptions& options, std::mt19937&) {
    TrainingOptions more = options;
    more.gpus += options.ranks();
    EXPECT_LE(Planned(Llama31(), more).total_bytes, Planned(Llama31(), options).total_bytes);
  });
}

TEST_F(TrainingPlanProperty, AHigherStageNeverHasMoreStates) {
  ForRandomOptions([](TrainingOptions options, std::mt19937&) {
    options.zero_stage = 0;
    Bytes before = StatesOf(Planned(Llama31(), options));
    for (int stage = 1; stage <= 3; ++stage) {
      options.zero_stage = stage;
      const Bytes states = StatesOf(Planned(Llama31(), options));
      EXPECT_LE(states, before);
      before = states;
    }
  });
}

TEST_F(TrainingPlanProperty, TheGpusNeededAreEnoughAndOneReplicaFewerIsNot) {
  ForRandomOptions([](TrainingOptions options, std::mt19937& rng) {
    options.zero_stage = std::max(options.zero_stage, 1);
    options.device_bytes = Bytes(static_cast<int64_t>(rng() % 200 + 1) * kBillion);
    const TrainingPlan plan = Planned(Llama31(), options);
    if (!plan.gpus_needed) return;
    options.gpus = *plan.gpus_needed;
    EXPECT_TRUE(Planned(Llama31(), options).fits());
    if (options.gpus == options.ranks()) return;
    options.gpus -= options.ranks();
    EXPECT_FALSE(Planned(Llama31(), options).fits());
  });
}

TEST_F(TrainingPlanProperty, WhatIsSaidToFitFits) {
  ForRandomOptions([](TrainingOptions options, std::mt19937& rng) {
    options.device_bytes = Bytes(static_cast<int64_t>(rng() % 100 + 1) * kBillion);
    for (const TrainingFit& fit : TrainingFits(Llama31(), options)) {
      EXPECT_LE(fit.total_bytes, *options.device_bytes) << fit.setting;
    }
  });
}

TEST(TrainingPlan, WithoutADeviceItFitsAndCountsNoGpus) {
  const TrainingPlan plan = Planned(Llama31(), Training(TrainingMethod::kMixed));
  EXPECT_TRUE(plan.fits());
  EXPECT_FALSE(plan.gpus_needed.has_value());
  EXPECT_EQ(plan.parameters, 8'030'261'248);
  EXPECT_EQ(plan.textbook_parameters,
            4096 * int64_t{128'256} + 32 * (12 * 4096 * int64_t{4096} + 13 * 4096) + 2 * 4096);
}

TEST(TrainingPlan, TheRuntimeCountsAgainstTheDevice) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  const Bytes total = Planned(Llama31(), options).total_bytes;
  options.device_bytes = total;
  EXPECT_TRUE(Planned(Llama31(), options).fits());
  EXPECT_EQ(Planned(Llama31(), options).gpus_needed, 1);
  options.runtime = Bytes(1);
  EXPECT_EQ(Planned(Llama31(), options).shortfall_bytes(), Bytes(1));
  EXPECT_EQ(Planned(Llama31(), options).gpus_needed, 2);
}

TEST(TrainingPlan, TheOptimizerOfQloraIsPaged) {
  const TrainingPlan qlora = Planned(Llama31(), Training(TrainingMethod::kQlora));
  EXPECT_EQ(qlora.pageable_bytes(), Bytes(8 * qlora.trained_parameters));
  EXPECT_EQ(Planned(Llama31(), Training(TrainingMethod::kLora)).pageable_bytes(), Bytes(0));
}

TEST(TrainingPlan, NoNumberOfGpusIsEnoughWhereWhatIsRepeatedIsTooLarge) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.zero_stage = 1;
  options.device_bytes = Bytes(10 * kBillion);  // the weights alone are 16 GB
  EXPECT_FALSE(Planned(Llama31(), options).gpus_needed.has_value());
}

TEST(TrainingPlan, TensorParallelismSplitsMatricesAndRepeatsNorms) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.gpus = options.tensor_parallel = 8;
  constexpr int64_t kNorms = 65 * 4096;
  EXPECT_EQ(Planned(Llama31(), options).weights_bytes,
            Bytes(2 * ((8'030'261'248 - kNorms) / 8 + kNorms)));
}

TEST(TrainingPlan, MomentsIn8BitsStayFp32InSmallTensors) {
  // A norm of Qwen3-0.6B's heads has 128 elements, one of its layers 1024: both under 4096.
  const ModelConfig model = ModelNamed("Qwen/Qwen3-0.6B");
  int64_t small = 0, blocks = 0, large = 0;
  for (const TensorSpec& tensor : model.tensors) {
    if (tensor.role == TensorRole::kNorm) {
      small += tensor.Elements();
    } else {
      large += tensor.Elements();
      blocks += tensor.ElementsOfOne() / 256 * tensor.Copies();
    }
  }
  const TrainingPlan plan = Planned(model, Training(TrainingMethod::kAdam8bit));
  EXPECT_EQ(TermOf(plan, "moments"), Bytes(8 * small + 2 * large + 8 * blocks));
}

TEST(TrainingPlan, EveryOptionOutOfRangeIsNamed) {
  const auto refused = [](const std::string& message, auto change) {
    TrainingOptions options = Training(TrainingMethod::kLora);
    change(options);
    const absl::Status status = PlanTraining(Llama31(), options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  };
  using O = TrainingOptions;
  refused("batch=0: want 1 to", [](O& o) { o.batch = 0; });
  refused("batch=16777217", [](O& o) { o.batch = kMaxTrainingBatch + 1; });
  refused("sequence=0", [](O& o) { o.sequence = Tokens(0); });
  refused("sequence=9223372036854775807", [](O& o) { o.sequence = Tokens(INT64_MAX); });
  refused("lora_rank=0", [](O& o) { o.lora_rank = 0; });
  refused("lora_targets=", [](O& o) { o.lora_targets.clear(); });
  refused("lora_targets=wq", [](O& o) { o.lora_targets = {"wq"}; });
  refused("zero=4", [](O& o) { o.zero_stage = 4; });
  refused("zero=-1", [](O& o) { o.zero_stage = -1; });
  refused("gpus=0", [](O& o) { o.gpus = 0; });
  refused("gpus=12: want a multiple of tensor_parallel=8", [](O& o) {
    o.gpus = 12;
    o.tensor_parallel = 8;
  });
  refused("tensor_parallel=3: want a divisor of the 32 heads",
          [](O& o) { o.gpus = o.tensor_parallel = 3; });
  refused("tensor_parallel=16: want a divisor of the 32 heads and 8 kv heads",
          [](O& o) { o.gpus = o.tensor_parallel = 16; });
  refused("sequence_parallel=true", [](O& o) { o.sequence_parallel = true; });
  refused("device_bytes=0", [](O& o) { o.device_bytes = Bytes(0); });
}

TEST(TrainingPlan, ATextbookModelOutOfRangeIsRefused) {
  const TrainingOptions options = Training(TrainingMethod::kMixed);
  EXPECT_FALSE(PlanTraining(TextbookModel{0, 1, 1, 1}, options).ok());
  EXPECT_FALSE(PlanTraining(TextbookModel{1, 0, 1, 1}, options).ok());
  EXPECT_FALSE(PlanTraining(TextbookModel{1, 1, int64_t{1} << 40, 1}, options).ok());
  EXPECT_FALSE(PlanTraining(TextbookModel{1, 1, 1, -1}, options).ok());
  TrainingOptions architecture = options;
  architecture.activation_formula = ActivationFormula::kArchitecture;
  EXPECT_THAT(std::string(PlanTraining(UsualShape(kBillion), architecture).status().message()),
              HasSubstr("activation_formula=architecture"));
}

TEST(TrainingPlan, TheLargestOfEverythingIsRefusedAndDoesNotOverflow) {
  TrainingOptions options = Training(TrainingMethod::kMixedBothGrads);
  options.gpus = options.tensor_parallel = kMaxTensorParallel;
  options.batch = kMaxTrainingBatch;
  options.sequence = Tokens(int64_t{1} << 40);
  EXPECT_FALSE(PlanTraining(UsualShape(kMaxTextbookParameters), options).ok());
  options.batch = 1;
  options.sequence = Tokens(1);
  EXPECT_TRUE(PlanTraining(UsualShape(kMaxTextbookParameters), options).ok());
}

TEST(TrainingOptionNames, GoThereAndBack) {
  for (int i = 0; i < 10; ++i) {
    const auto method = static_cast<TrainingMethod>(i);
    EXPECT_EQ(*TrainingMethodFromName(NameOf(method)), method);
  }
  EXPECT_EQ(*RecomputeFromName("full"), Recompute::kFull);
  EXPECT_EQ(*OffloadFromName("nvme"), Offload::kNvme);
  EXPECT_EQ(*ActivationFormulaFromName("classic"), ActivationFormula::kClassic);
  EXPECT_EQ(OffloadFromName("disk").status().message(), "offload=disk: want none, cpu or nvme");
}

}  // namespace
}  // namespace plimsoll
