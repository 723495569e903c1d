// What one GPU holds of a model that is spread over several.
#include "kvcache/sizing/parallel_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kvcache/sizing/kv_bytes.h"
#include "kvcache/sizing/weight_format.h"
#include "tests/kvcache/model/config_texts.h"
#include "tests/kvcache/model/published_files.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Refusal(const ModelConfig& model, const ParallelSplit& split) {
  const absl::Status status = CheckSplit(model, split);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

std::vector<int64_t> Shape(const ModelConfig& share, std::string_view ending) {
  for (const TensorSpec& tensor : share.tensors) {
    if (std::string_view(tensor.name).ends_with(ending)) return tensor.shape;
  }
  return {};
}

std::vector<int64_t> StageSizes(int64_t layers, int64_t stages) {
  std::vector<int64_t> sizes;
  int64_t next = 0;
  for (int64_t stage = 0; stage < stages; ++stage) {
    const StageLayers these = LayersOfStage(layers, stages, stage);
    EXPECT_EQ(these.first, next);
    sizes.push_back(these.count);
    next += these.count;
  }
  EXPECT_EQ(next, layers);
  return sizes;
}

TEST(PipelineStages, WhatRemainsGoesToTheStagesBeforeTheLast) {
  EXPECT_THAT(StageSizes(32, 4), ElementsAre(8, 8, 8, 8));
  EXPECT_THAT(StageSizes(10, 4), ElementsAre(2, 3, 3, 2));
  EXPECT_THAT(StageSizes(11, 4), ElementsAre(3, 3, 3, 2));
  EXPECT_THAT(StageSizes(61, 2), ElementsAre(31, 30));
  EXPECT_THAT(StageSizes(5, 5), ElementsAre(1, 1, 1, 1, 1));
}

// Llama-3.1-8B over four: 32 heads and 8 kv heads of 128, an MLP of 14336, 128256 words.
TEST(TensorParallel, ALlamaLayerDividesByHeadsAndInnerValues) {
  const ModelConfig share = ShareOf(Llama31(), {.tensor = 4}, 0);
  EXPECT_THAT(Shape(share, "q_proj.weight"), ElementsAre(1024, 4096));
  EXPECT_THAT(Shape(share, "k_proj.weight"), ElementsAre(256, 4096));
  EXPECT_THAT(Shape(share, "o_proj.weight"), ElementsAre(4096, 1024));
  EXPECT_THAT(Shape(share, "gate_proj.weight"), ElementsAre(3584, 4096));
  EXPECT_THAT(Shape(share, "down_proj.weight"), ElementsAre(4096, 3584));
  EXPECT_THAT(Shape(share, "embed_tokens.weight"), ElementsAre(32064, 4096));
  EXPECT_THAT(Shape(share, "lm_head.weight"), ElementsAre(32064, 4096));
  EXPECT_THAT(Shape(share, "input_layernorm.weight"), ElementsAre(4096));
  EXPECT_EQ(share.attention[0].heads, 8);
  EXPECT_EQ(share.attention[0].kv_heads, 2);
  // Everything but the norms is a quarter.
  const int64_t norms = 65 * 4096;
  EXPECT_EQ(share.Parameters(), (Llama31().Parameters() - norms) / 4 + norms);
}

TEST(TensorParallel, AHeadOfKAndVIsOnSeveralGpusWhereTheyAreMore) {
  const ModelConfig share = ShareOf(Llama31(), {.tensor = 16}, 0);
  EXPECT_EQ(share.attention[0].heads, 2);
  EXPECT_EQ(share.attention[0].kv_heads, 1);
  EXPECT_THAT(Shape(share, "k_proj.weight"), ElementsAre(128, 4096));
  EXPECT_EQ(KvBytesOf(share, ElementType::kBf16).per_token, Bytes(131072 / 8));
}

// Phi-4: 40 heads and 10 kv heads of 128 in one matrix, gate and up of 17920 in another.
TEST(TensorParallel, FusedMatricesDividePartByPart) {
  const ModelConfig model = ModelNamed("microsoft/phi-4");
  const ModelConfig share = ShareOf(model, {.tensor = 5}, 0);
  EXPECT_THAT(Shape(share, "qkv_proj.weight"), ElementsAre((8 + 2 + 2) * 128, 5120));
  EXPECT_THAT(Shape(share, "gate_up_proj.weight"), ElementsAre(2 * 3584, 5120));
}

TEST(TensorParallel, WordsThatDoNotDivideArePadded) {
  EXPECT_THAT(Shape(ShareOf(*Parsed(SmallConfig()), {.tensor = 2}, 0), "embed_tokens.weight"),
              ElementsAre(50, 64));
  const ModelConfig four = *Parsed(Changed(SmallConfig(), {{"vocab_size", 101}}));
  EXPECT_THAT(Shape(ShareOf(four, {.tensor = 4}, 0), "embed_tokens.weight"), ElementsAre(26, 64));
}

// One latent for all heads: every GPU has all of it, and a share of the heads made of it.
TEST(TensorParallel, ALatentIsWholeOnEveryGpu) {
  const ModelConfig model = OtherModelNamed("deepseek-ai/DeepSeek-V3");
  const ModelConfig share = ShareOf(model, {.tensor = 8}, 0);
  EXPECT_EQ(KvBytesOf(share, ElementType::kBf16).per_token,
            KvBytesOf(model, ElementType::kBf16).per_token);
  EXPECT_THAT(Shape(share, "kv_a_proj_with_mqa.weight"), ElementsAre(576, 7168));
  EXPECT_THAT(Shape(share, "q_a_proj.weight"), ElementsAre(1536, 7168));
  EXPECT_THAT(Shape(share, "q_b_proj.weight"), ElementsAre(16 * 192, 1536));
  EXPECT_THAT(Shape(share, "kv_b_proj.weight"), ElementsAre(16 * 256, 512));
  EXPECT_THAT(Shape(share, "o_proj.weight"), ElementsAre(7168, 16 * 128));
  const ModelConfig apart = ShareOf(WithLatentDecompressed(model), {.tensor = 8}, 0);
  EXPECT_EQ(KvBytesOf(apart, ElementType::kBf16).per_token, Bytes(61 * 16 * (192 + 128) * 2));
}

// Bamba: 128 heads of 64 and one group, B and C of 128; d_conv 4.
TEST(TensorParallel, StatesDivideByHeadsAndTheirGroupsAreShared) {
  const ModelConfig model = OtherModelNamed("ibm-ai-platform/Bamba-9B");
  const ModelConfig share = ShareOf(model, {.tensor = 4}, 0);
  EXPECT_EQ(model.recurrent[0].conv_elements, (128 * 64 + 2 * 128) * 3);
  EXPECT_EQ(share.recurrent[0].conv_elements, (32 * 64 + 2 * 128) * 3);
  EXPECT_EQ(share.recurrent[0].state_elements, model.recurrent[0].state_elements / 4);
}

TEST(TensorParallel, SplitsThatDivideNeitherWayAreRefusedByName) {
  EXPECT_THAT(Refusal(Llama31(), {.tensor = 3}), HasSubstr("tensor_parallel=3: want a divisor of"));
  EXPECT_THAT(Refusal(Llama31(), {.tensor = 64}), HasSubstr("the 32 heads"));
  // 40 heads over 20 GPUs would do, but not 8 kv heads over 20.
  const ModelConfig model = *Parsed(Changed(
      SmallConfig(), {{"num_attention_heads", 40}, {"num_key_value_heads", 8}, {"head_dim", 8}}));
  EXPECT_THAT(Refusal(model, {.tensor = 20}), HasSubstr("a multiple of the 8 shared heads"));
  const ModelConfig odd = *Parsed(Changed(SmallConfig(), {{"intermediate_size", 95}}));
  EXPECT_THAT(Refusal(odd, {.tensor = 2}), HasSubstr("the 95 inner values of model.layers"));
  EXPECT_THAT(Refusal(Llama31(), {.tensor = 0}), HasSubstr("tensor_parallel=0"));
  EXPECT_THAT(Refusal(Llama31(), {.tensor = kMaxParallel + 1}), HasSubstr("tensor_parallel="));
}

TEST(PipelineParallel, EndsBelongToTheFirstAndTheLastStage) {
  const ModelConfig first = ShareOf(Llama31(), {.pipeline = 4}, 0);
  const ModelConfig middle = ShareOf(Llama31(), {.pipeline = 4}, 1);
  const ModelConfig last = ShareOf(Llama31(), {.pipeline = 4}, 3);
  const int64_t layer = 218112000;  // 4 x 4096^2 x 5/8 + 3 x 4096 x 14336 + 2 x 4096
  const int64_t table = int64_t{128256} * 4096;
  EXPECT_EQ(first.Parameters(), 8 * layer + table);
  EXPECT_EQ(middle.Parameters(), 8 * layer);
  EXPECT_EQ(last.Parameters(), 8 * layer + table + 4096);
  EXPECT_EQ(middle.attention.size(), 8U);
  EXPECT_EQ(middle.attention.front().layer, 8);
}

TEST(PipelineParallel, ATiedEmbeddingIsOnBothEnds) {
  const ModelConfig model = ModelNamed("google/gemma-2-2b");
  const int64_t table = int64_t{256000} * 2304;
  int64_t sum = 0;
  for (int64_t stage = 0; stage < 2; ++stage) {
    sum += ShareOf(model, {.pipeline = 2}, stage).Parameters();
  }
  EXPECT_EQ(sum, model.Parameters() + table);
}

TEST(PipelineParallel, StagesAddUpToTheModel) {
  for (const PublishedModel& published : kOtherPublishedModels) {
    const ModelConfig model = OtherModelNamed(published.name);
    if (model.tied_embeddings || model.layers < 3) continue;
    int64_t parameters = 0;
    size_t kept = 0;
    for (int64_t stage = 0; stage < 3; ++stage) {
      const ModelConfig share = ShareOf(model, {.pipeline = 3}, stage);
      parameters += share.Parameters();
      kept += share.attention.size() + share.recurrent.size();
    }
    EXPECT_EQ(parameters, model.Parameters()) << published.name;
    EXPECT_EQ(kept, model.attention.size() + model.recurrent.size()) << published.name;
  }
}

TEST(PipelineParallel, MoreStagesThanLayersAreRefused) {
  EXPECT_THAT(Refusal(Llama31(), {.pipeline = 33}),
              HasSubstr("pipeline_parallel=33: want 1 to 32"));
}

// Qwen3-30B-A3B: 128 experts of 768 in each layer.
TEST(ExpertParallel, ExpertsAreDealtOutWhole) {
  const ModelConfig model = ModelNamed("Qwen/Qwen3-30B-A3B");
  const auto experts = [&](const ParallelSplit& split) {
    EXPECT_TRUE(CheckSplit(model, split).ok());
    for (const TensorSpec& tensor : ShareOf(model, split, 0).tensors) {
      if (tensor.role == TensorRole::kExpert) return std::pair(tensor.experts, tensor.shape[0]);
    }
    return std::pair(int64_t{0}, int64_t{0});
  };
  EXPECT_EQ(experts({.tensor = 4}), std::pair(int64_t{128}, int64_t{192}));
  EXPECT_EQ(experts({.tensor = 4, .expert = 4}), std::pair(int64_t{32}, int64_t{768}));
  EXPECT_EQ(experts({.tensor = 4, .expert = 2}), std::pair(int64_t{64}, int64_t{384}));
  EXPECT_EQ(experts({.tensor = 2, .expert = 6}), std::pair(int64_t{22}, int64_t{768}));
  const ParallelSplit wide{.tensor = 2, .pipeline = 2, .expert = 8};
  EXPECT_EQ(wide.gpus(), 16);
  EXPECT_EQ(wide.replicas(), 4);
}

TEST(ExpertParallel, WhatDoesNotDealOutIsRefused) {
  const ModelConfig model = ModelNamed("Qwen/Qwen3-30B-A3B");
  EXPECT_THAT(Refusal(model, {.tensor = 4, .expert = 6}),
              HasSubstr("expert_parallel=6: want a divisor or a multiple of tensor_parallel=4"));
  EXPECT_THAT(Refusal(model, {.expert = 129}), HasSubstr("at most the 128 experts"));
  EXPECT_THAT(Refusal(Llama31(), {.expert = 2}), HasSubstr("the model has no experts"));
}

// Every matrix either divides or is one of those that are needed whole.
TEST(TensorParallel, EveryMatrixOfEveryModelSaysHowItDivides) {
  const std::vector<std::string_view> whole = {
      "q_a_proj.weight",   "kv_a_proj_with_mqa.weight",  "indexer.wq_b.weight",
      "indexer.wk.weight", "fc1_latent_proj.weight",     "fc2_latent_proj.weight",
      "project_in.weight", "project_out.weight",         "per_layer_model_projection.weight",
      "input_gate.weight", "per_layer_projection.weight"};
  const auto check = [&](const ModelConfig& model) {
    for (const TensorSpec& tensor : model.tensors) {
      const bool may_be_whole = std::any_of(whole.begin(), whole.end(),
                                            [&](auto end) { return tensor.name.ends_with(end); });
      const bool matrix = tensor.role == TensorRole::kLinear || tensor.role == TensorRole::kExpert;
      if (matrix && !may_be_whole) {
        EXPECT_FALSE(tensor.split.empty()) << model.name << " " << tensor.name;
      }
      if (tensor.split.empty()) continue;
      int64_t sum = 0;
      for (const SplitPart& part : tensor.split) sum += part.size();
      EXPECT_EQ(sum, tensor.shape[tensor.split_axis]) << model.name << " " << tensor.name;
    }
    for (const AttentionSpec& layer : model.attention) EXPECT_GE(layer.layer, 0) << model.name;
    for (const RecurrentSpec& layer : model.recurrent) EXPECT_GE(layer.layer, 0) << model.name;
  };
  for (const PublishedModel& published : kPublishedModels) check(ModelNamed(published.name));
  for (const PublishedModel& published : kOtherPublishedModels) {
    check(OtherModelNamed(published.name));
  }
  for (const PublishedFile& file : kPublishedFiles) {
    check(*ParseModelConfig(file.model.config, std::string(file.model.name)));
  }
}

TEST(TensorParallel, OneGpuHasTheModel) {
  for (const PublishedModel& published : kOtherPublishedModels) {
    const ModelConfig model = OtherModelNamed(published.name);
    const ModelConfig share = ShareOf(model, {}, 0);
    EXPECT_EQ(share.Parameters(), model.Parameters()) << published.name;
    EXPECT_EQ(share.widest_ffn, model.widest_ffn);
    EXPECT_EQ(KvBytesOf(share, ElementType::kBf16).per_token,
              KvBytesOf(model, ElementType::kBf16).per_token);
  }
}

}  // namespace
}  // namespace plimsoll
