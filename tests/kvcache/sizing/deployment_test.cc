// Plans of models spread over GPUs, with drafts, prefixes and windows: known figures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "kvcache/base/size_text.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/kv_bytes.h"
#include "tests/kvcache/model/config_texts.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

constexpr int64_t kGiB = int64_t{1} << 30;

InferencePlan Plan(const ModelConfig& model, const InferenceOptions& options) {
  const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  return plan.value_or(InferencePlan{});
}

Bytes Term(const InferencePlan& plan, const std::string& name) {
  for (const PlanTerm& term : plan.formulas) {
    if (term.term == name) return term.bytes;
  }
  return Bytes(0);
}

double InGib(Bytes bytes) { return static_cast<double>(bytes.value()) / static_cast<double>(kGiB); }

ModelConfig Qwen235B() {
  return *Parsed({{"architectures", {"Qwen3MoeForCausalLM"}},
                  {"hidden_size", 4096},
                  {"intermediate_size", 12288},
                  {"moe_intermediate_size", 1536},
                  {"num_experts", 128},
                  {"num_experts_per_tok", 8},
                  {"num_hidden_layers", 94},
                  {"num_attention_heads", 64},
                  {"num_key_value_heads", 4},
                  {"head_dim", 128},
                  {"vocab_size", 151936},
                  {"max_position_embeddings", 40960},
                  {"torch_dtype", "bfloat16"}});
}

// An engine's log: 367,404 tokens over 4 GPUs, K and V of 8.23 GiB each.
TEST(KnownDeployments, Qwen235BOverFourGpusHasOneHeadOfKAndVOnEach) {
  const InferencePlan plan =
      Plan(Qwen235B(), {.device_bytes = Bytes(180 * kGiB), .tensor_parallel = 4});
  const Bytes token(plan.block_bytes.value() / 16);
  EXPECT_EQ(token, Bytes(94 * 2 * 1 * 128 * 2));
  EXPECT_EQ(token, Bytes(48128));
  EXPECT_EQ(plan.kv_bytes_per_token, 4 * token) << "of the whole model";
  EXPECT_NEAR(InGib(Bytes(token.value() / 2) * 367404), 8.234, 0.001);
  EXPECT_EQ(plan.gpus, 4);
}

// Another's: 5.38 GiB are 78,384 tokens, layers with windows charged in full.
TEST(KnownDeployments, GptOss120BKeepsWindowsInFull) {
  const InferencePlan plan =
      Plan(OtherModelNamed("openai/gpt-oss-120b"), {.device_bytes = Bytes(100 * kGiB)});
  EXPECT_EQ(plan.kv_bytes_per_token, Bytes(73728));
  EXPECT_NEAR(InGib(plan.kv_bytes_per_token * 78384), 5.382, 0.001);
}

// And another: 3,852 blocks of 16 tokens are 1.54 sequences of 40,000.
TEST(KnownDeployments, BlocksAreSequencesOfAContext) {
  EXPECT_NEAR(3852.0 * 16 / 40000, 1.54, 0.005);
  InferenceOptions options{.device_bytes = Bytes(40 * kGiB), .utilization = 1.0};
  const InferencePlan roomy = Plan(Llama31(), options);
  options.device_bytes =
      roomy.budget_bytes - roomy.kv_pool_bytes - roomy.unused_bytes + roomy.block_bytes * 3852;
  options.contexts = {Tokens(40000), Tokens(40000 * 154 / 100), Tokens(61633)};
  const InferencePlan plan = Plan(Llama31(), options);
  EXPECT_EQ(plan.blocks, Blocks(3852));
  EXPECT_EQ(plan.tokens, Tokens(61632));
  EXPECT_EQ(plan.max_sequences[0].sequences, 1);
  EXPECT_EQ(plan.max_sequences[1].sequences, 1);
  EXPECT_EQ(plan.max_sequences[2].sequences, 0);
}

// Llama-3.1-8B over four by hand: (8030261248 - 266240) / 4 + 266240 parameters on each; input,
// output and one exchange of 64 MiB; activations 8192 x (4 x 4096 + 2 x (4096 + (8 + 4) x 128 +
// 8 x 128 + 3 x 3584)).
TEST(TensorParallelPlan, OfLlama31OverFourGpusAsByHand) {
  const InferencePlan plan =
      Plan(Llama31(), {.device_bytes = Bytes(24 * kGiB), .tensor_parallel = 4});
  EXPECT_EQ(plan.parameters, 8030261248);
  EXPECT_EQ(plan.weights_bytes, Bytes(2 * ((8030261248 - 266240) / 4 + 266240)));
  EXPECT_EQ(plan.kv_bytes_per_token, Bytes(131072));
  EXPECT_EQ(plan.block_bytes, Bytes(2097152 / 4));
  EXPECT_EQ(plan.runtime_bytes, Bytes(64 << 20));
  EXPECT_EQ(Term(plan, "activations"),
            Bytes(int64_t{8192} * (4 * 4096 + 2 * (4096 + 12 * 128 + 8 * 128 + 3 * 3584))));
  EXPECT_EQ(Term(plan, "logits"), Bytes(256 * 128256 * 4));
  EXPECT_EQ(plan.stages.size(), 1U);
}

TEST(TensorParallelPlan, QuantisedSharesHaveTheirOwnScales) {
  const ModelConfig model = Llama31();
  const auto weights = [&](int64_t gpus) {
    return Plan(model, {.device_bytes = Bytes(80 * kGiB),
                        .weights = QuantizedStorage{.format = StorageFormat::kFp8Tensor},
                        .tensor_parallel = gpus})
        .weights_bytes;
  };
  // One scale of four bytes for each of 7 x 32 matrices, on every GPU; norms are whole.
  const Bytes norms(2 * 65 * 4096);
  const Bytes scales(4 * 7 * 32);
  EXPECT_EQ((weights(4) - norms - scales) * 4, weights(1) - norms - scales);
}

TEST(PipelinePlan, TheStageWithTheFewestBlocksBinds) {
  const InferencePlan plan =
      Plan(Llama31(), {.device_bytes = Bytes(24 * kGiB), .pipeline_parallel = 4});
  ASSERT_EQ(plan.stages.size(), 4U);
  Blocks fewest = plan.stages[0].blocks;
  for (const StagePlan& stage : plan.stages) fewest = std::min(fewest, stage.blocks);
  EXPECT_EQ(plan.blocks, fewest);
  EXPECT_EQ(plan.stage, 3) << "the head, its logits and the sampler are there";
  EXPECT_EQ(plan.stages[3].first_layer, 24);
  EXPECT_EQ(plan.block_bytes, Bytes(2097152 / 4));
  EXPECT_GT(plan.stages[1].blocks, plan.stages[0].blocks) << "no embedding";
  EXPECT_EQ(plan.stages[1].weights_bytes, Bytes(2 * 8 * int64_t{218112000}));
}

TEST(PipelinePlan, AStageThatDoesNotFitIsTheOneShown) {
  const InferencePlan plan =
      Plan(Llama31(), {.device_bytes = Bytes(6 * kGiB), .pipeline_parallel = 4});
  EXPECT_FALSE(plan.fits());
  EXPECT_EQ(plan.blocks, Blocks(0));
  for (const StagePlan& stage : plan.stages) {
    EXPECT_LE(stage.shortfall_bytes, plan.shortfall_bytes);
  }
  EXPECT_EQ(plan.stages[static_cast<size_t>(plan.stage)].shortfall_bytes, plan.shortfall_bytes);
}

// Bamba attends in layers 9, 18 and 27 of 32: with 8 stages of 4 most keep states only.
TEST(PipelinePlan, StagesWithoutAttentionLimitSequencesByTheirStates) {
  const ModelConfig model = OtherModelNamed("ibm-ai-platform/Bamba-9B");
  const InferencePlan plan = Plan(model, {.device_bytes = Bytes(8 * kGiB),
                                          .contexts = {Tokens(1), Tokens(4096)},
                                          .pipeline_parallel = 8});
  ASSERT_TRUE(plan.fits());
  EXPECT_GT(plan.block_bytes, Bytes(0));
  EXPECT_EQ(plan.stages[0].kv_bytes_per_token, Bytes(0));
  EXPECT_EQ(plan.stages[0].blocks, plan.blocks);
  const int64_t state = plan.state_bytes_per_sequence.value() / 29;
  EXPECT_EQ(plan.sequence_state_bytes, Bytes(3 * state));
  EXPECT_LT(plan.max_sequences[0].sequences, plan.blocks.value());
}

TEST(ExpertPlan, ReplicasHavePoolsOfTheirOwn) {
  const ModelConfig model = ModelNamed("Qwen/Qwen3-30B-A3B");
  const InferenceOptions one{.device_bytes = Bytes(80 * kGiB)};
  InferenceOptions eight = one;
  eight.expert_parallel = 8;
  const InferencePlan alone = Plan(model, one);
  const InferencePlan spread = Plan(model, eight);
  EXPECT_EQ(spread.gpus, 8);
  EXPECT_EQ(spread.replicas, 8);
  EXPECT_EQ(spread.block_bytes, alone.block_bytes);
  const int64_t experts = int64_t{48} * 128 * 3 * 2048 * 768 * 2;
  EXPECT_EQ(alone.weights_bytes - spread.weights_bytes, Bytes(experts / 8 * 7));
  EXPECT_EQ(Term(spread, "exchange"), Bytes(8192 * 8 * 2048 * 2)) << "8 experts of each token";
}

// Llama-3.2-1B beside Llama-3.1-8B: 16 layers of 8 kv heads of 64, so a quarter of a block more.
TEST(DraftPlan, EveryBlockHasRoomInBothModels) {
  const ModelConfig draft = ModelNamed("meta-llama/Llama-3.2-1B");
  const InferencePlan plan = Plan(Llama31(), {.device_bytes = Bytes(80 * kGiB),
                                              .contexts = {Tokens(12), Tokens(11)},
                                              .draft = &draft,
                                              .lookahead_tokens = Tokens(5)});
  EXPECT_EQ(plan.draft_block_bytes, Bytes(16 * 2 * 16 * 8 * 64 * 2));
  EXPECT_EQ(Term(plan, "draft"), Bytes(2 * 1235814400LL));
  EXPECT_EQ(plan.draft_bytes, Term(plan, "draft") + plan.draft_block_bytes * plan.blocks.value());
  EXPECT_LT(plan.unused_bytes, plan.block_bytes + plan.draft_block_bytes);
  EXPECT_EQ(plan.max_sequences[0].sequences, plan.blocks.value() / 2) << "12 + 5 tokens";
  EXPECT_EQ(plan.max_sequences[1].sequences, plan.blocks.value());
  EXPECT_EQ(Term(plan, "logits"), Bytes(int64_t{256} * 6 * 128256 * 4));
}

TEST(DraftPlan, IsSpreadWithTheModelAndOnTheLastStage) {
  const ModelConfig draft = ModelNamed("meta-llama/Llama-3.2-1B");
  InferenceOptions options{.device_bytes = Bytes(24 * kGiB),
                           .tensor_parallel = 2,
                           .pipeline_parallel = 2,
                           .draft = &draft};
  const InferencePlan plan = Plan(Llama31(), options);
  EXPECT_EQ(plan.stage, 1);
  EXPECT_EQ(Term(plan, "draft"), Bytes(2 * ((1235814400 - 33 * 2048) / 2 + 33 * 2048)));
  options.tensor_parallel = 64;
  const ModelConfig large = ModelNamed("meta-llama/Llama-3.1-405B");  // 128 heads
  EXPECT_THAT(std::string(PlanInference(large, options).status().message()),
              HasSubstr("draft: tensor_parallel=64: want a divisor of the 32 heads"));
}

TEST(DraftPlan, ModelsThatKeepNoKAndVHaveNone) {
  const ModelConfig mamba = OtherModelNamed("state-spaces/mamba-2.8b-hf");
  const absl::Status status =
      PlanInference(Llama31(), {.device_bytes = Bytes(80 * kGiB), .draft = &mamba}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("a model that keeps K and V"));
}

TEST(SharedPrefixPlan, IsInThePoolOnce) {
  const InferencePlan plan = Plan(Llama31(), {.device_bytes = Bytes(40 * kGiB),
                                              .contexts = {Tokens(4096)},
                                              .shared_prefix = Tokens(2048)});
  EXPECT_EQ(plan.max_sequences[0].sequences, (plan.blocks.value() - 128) / 128);
}

// Gemma 2 9B: half of 42 layers have a window of 4096.
TEST(GroupedPool, HoldsMoreWhereWindowsAreShort) {
  const InferencePlan plan =
      Plan(ModelNamed("google/gemma-2-9b"),
           {.device_bytes = Bytes(80 * kGiB), .contexts = {Tokens(4096), Tokens(8192)}});
  EXPECT_EQ(plan.max_sequences[0].sequences_grouped, plan.max_sequences[0].sequences);
  const int64_t half = plan.block_bytes.value() / 2;
  EXPECT_EQ(plan.max_sequences[1].sequences_grouped,
            plan.kv_pool_bytes.value() / (512 * half + 257 * half));
}

TEST(LatentPlan, MayBeKeptDecompressed) {
  const ModelConfig model = OtherModelNamed("deepseek-ai/DeepSeek-V2-Lite");
  const InferenceOptions latent{.device_bytes = Bytes(80 * kGiB)};
  InferenceOptions apart = latent;
  apart.decompress_latent = true;
  EXPECT_EQ(Plan(model, latent).kv_bytes_per_token, Bytes(27 * 576 * 2));
  EXPECT_EQ(Plan(model, apart).kv_bytes_per_token, Bytes(27 * 16 * (128 + 64 + 128) * 2));
}

TEST(AttentionWorkspace, WithoutFlashAttentionScoresAreKept) {
  InferenceOptions options{.device_bytes = Bytes(80 * kGiB), .max_batched_tokens = Tokens(2048)};
  EXPECT_EQ(Term(Plan(Llama31(), options), "attention"), Bytes(4 * (256 + 256 * 8) * 130 * 4));
  options.flash_attention = false;
  EXPECT_EQ(Term(Plan(Llama31(), options), "attention"), Bytes(32LL * 2048 * 2048 * 4));
  options.flash_attention = true;
  options.attention_pieces = 0;
  EXPECT_EQ(Term(Plan(Llama31(), options), "attention"), Bytes(0));
}

TEST(DeploymentOptions, AreRefusedByName) {
  const auto refusal = [](const InferenceOptions& options) {
    return std::string(PlanInference(Llama31(), options).status().message());
  };
  const Bytes device(80 * kGiB);
  EXPECT_THAT(refusal({.device_bytes = device, .tensor_parallel = 3}),
              HasSubstr("tensor_parallel=3"));
  EXPECT_THAT(refusal({.device_bytes = device, .pipeline_parallel = 0}),
              HasSubstr("pipeline_parallel=0"));
  EXPECT_THAT(refusal({.device_bytes = device, .expert_parallel = -1}),
              HasSubstr("expert_parallel=-1"));
  EXPECT_THAT(refusal({.device_bytes = device, .lookahead_tokens = Tokens(1025)}),
              HasSubstr("lookahead_tokens=1025"));
  EXPECT_THAT(refusal({.device_bytes = device, .shared_prefix = Tokens(INT64_MAX)}),
              HasSubstr("shared_prefix=92233"));
  EXPECT_THAT(refusal({.device_bytes = device, .attention_pieces = -1}),
              HasSubstr("attention_pieces=-1"));
}

TEST(DeploymentOptions, AModelThatKeepsNothingIsRefused) {
  ModelConfig model = Llama31();
  model.attention.clear();
  EXPECT_THAT(
      std::string(PlanInference(model, {.device_bytes = Bytes(80 * kGiB)}).status().message()),
      HasSubstr("keeps something of a sequence"));
}

}  // namespace
}  // namespace plimsoll
