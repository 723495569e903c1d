// Whatever the deployment, sums hold and more of what helps never means less: random models and
// options.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "kvcache/sizing/inference_plan.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

class DeploymentProperties : public testing::Test {
 protected:
  int64_t UpTo(int64_t most) { return std::uniform_int_distribution<int64_t>(0, most)(random_); }

  ModelConfig AnyModel() {
    const int64_t first = std::ssize(kPublishedModels);
    const int64_t row = UpTo(first + std::ssize(kOtherPublishedModels) - 1);
    return row < first
               ? ModelNamed(kPublishedModels[static_cast<size_t>(row)].name)
               : OtherModelNamed(kOtherPublishedModels[static_cast<size_t>(row - first)].name);
  }

  InferenceOptions AnyOptions() {
    InferenceOptions options{.device_bytes = Bytes(int64_t{1} << (30 + UpTo(9)))};
    options.weights = static_cast<ElementType>(UpTo(6));
    options.kv = static_cast<ElementType>(UpTo(6));
    options.max_batched_tokens = Tokens(int64_t{1} << UpTo(13));
    options.tensor_parallel = int64_t{1} << UpTo(4);
    options.pipeline_parallel = 1 + UpTo(5);
    options.expert_parallel = UpTo(2) == 0 ? int64_t{1} << UpTo(5) : 1;
    options.lookahead_tokens = Tokens(UpTo(1) * UpTo(8));
    options.shared_prefix = Tokens(UpTo(1) * UpTo(3000));
    options.flash_attention = UpTo(3) > 0;
    options.decompress_latent = UpTo(1) == 0;
    return options;
  }

  const int seed_ = testing::UnitTest::GetInstance()->random_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__,
                              "rerun with --gtest_random_seed=" + std::to_string(seed_)};
  std::mt19937_64 random_{static_cast<uint64_t>(seed_)};
};

void ExpectSumsHold(const InferencePlan& plan) {
  const Bytes terms = plan.weights_bytes + plan.draft_bytes + plan.io_bytes +
                      plan.activation_bytes + plan.runtime_bytes + plan.margin_bytes;
  EXPECT_EQ(plan.kv_pool_bytes, plan.block_bytes * plan.blocks.value());
  if (plan.fits()) {
    EXPECT_EQ(terms + plan.kv_pool_bytes + plan.unused_bytes, plan.budget_bytes);
    EXPECT_LT(plan.unused_bytes, plan.block_bytes + plan.draft_block_bytes);
    EXPECT_GE(plan.blocks, Blocks(1));
  } else {
    EXPECT_EQ(plan.blocks, Blocks(0));
  }
  Bytes formulas(0);
  for (const PlanTerm& term : plan.formulas) formulas += term.bytes;
  EXPECT_EQ(formulas + plan.margin_bytes, terms + plan.kv_pool_bytes);
  for (const StagePlan& stage : plan.stages) {
    EXPECT_GE(stage.blocks, plan.blocks);
    EXPECT_LE(stage.shortfall_bytes, plan.shortfall_bytes);
  }
  for (const ContextCapacity& row : plan.max_sequences) {
    EXPECT_GE(row.sequences_grouped, row.sequences);
  }
}

TEST_F(DeploymentProperties, EightFiguresAddUpToTheBudgetOfAGpu) {
  const ModelConfig draft = ModelNamed("HuggingFaceTB/SmolLM2-1.7B");  // 32 heads, all with K and V
  int planned = 0;
  int fitting = 0;
  for (int round = 0; round < 1500; ++round) {
    InferenceOptions options = AnyOptions();
    const ModelConfig model = AnyModel();
    if (UpTo(3) == 0 && !model.attention.empty()) options.draft = &draft;
    const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
    if (!plan.ok()) {
      EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(plan.status().message()), testing::HasSubstr("_parallel="));
      continue;
    }
    SCOPED_TRACE(model.name);
    ExpectSumsHold(*plan);
    ++planned;
    fitting += plan->fits() ? 1 : 0;
  }
  EXPECT_GT(planned, 300);
  EXPECT_GT(fitting, 100);
  EXPECT_LT(fitting, planned);
}

// Twice the GPUs sharing a layer: no term of any of them grows but what they exchange, which one
// alone does not need. Blocks, which shrink, are never fewer but for that.
TEST_F(DeploymentProperties, MoreGpusForALayerNeverMeanFewerBlocks) {
  int compared = 0;
  for (int round = 0; round < 400; ++round) {
    InferenceOptions options = AnyOptions();
    options.expert_parallel = 1;
    options.tensor_parallel = std::max<int64_t>(options.tensor_parallel, 2);
    InferenceOptions doubled = options;
    doubled.tensor_parallel *= 2;
    const ModelConfig model = AnyModel();
    const absl::StatusOr<InferencePlan> before = PlanInference(model, options);
    const absl::StatusOr<InferencePlan> after = PlanInference(model, doubled);
    if (!before.ok() || !after.ok()) continue;
    EXPECT_GE(after->blocks, before->blocks) << model.name;
    EXPECT_LE(after->weights_bytes, before->weights_bytes) << model.name;
    ++compared;
  }
  EXPECT_GT(compared, 50);
}

TEST_F(DeploymentProperties, MoreStagesOfLikeLayersNeverMeanFewerBlocks) {
  for (const char* const name : {"meta-llama/Llama-3.1-8B", "google/gemma-2b", "Qwen/Qwen3-14B"}) {
    InferenceOptions options = AnyOptions();
    options.tensor_parallel = options.expert_parallel = 1;
    Blocks last(0);
    for (options.pipeline_parallel = 2; options.pipeline_parallel <= 16;
         ++options.pipeline_parallel) {
      const InferencePlan plan = *PlanInference(ModelNamed(name), options);
      EXPECT_GE(plan.blocks, last) << name << " " << options.pipeline_parallel;
      last = plan.blocks;
    }
  }
}

TEST_F(DeploymentProperties, MoreToLookAheadOrLessInCommonNeverFitsMore) {
  for (int round = 0; round < 200; ++round) {
    const ModelConfig model = AnyModel();
    InferenceOptions options = AnyOptions();
    options.tensor_parallel = options.pipeline_parallel = options.expert_parallel = 1;
    InferenceOptions harder = options;
    harder.lookahead_tokens += Tokens(UpTo(20));
    harder.shared_prefix = Tokens(UpTo(options.shared_prefix.value()));
    const InferencePlan easy = *PlanInference(model, options);
    const InferencePlan hard = *PlanInference(model, harder);
    for (size_t i = 0; i < easy.max_sequences.size(); ++i) {
      EXPECT_LE(hard.max_sequences[i].sequences, easy.max_sequences[i].sequences) << model.name;
    }
  }
}

}  // namespace
}  // namespace plimsoll
