#include "kvcache/sizing/training_activations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "tests/kvcache/sizing/training_cases.h"

namespace plimsoll {
namespace {

Bytes SumOf(const absl::StatusOr<std::vector<TrainingTerm>>& terms) {
  PLIMSOLL_CHECK(terms.ok(), terms.status().message());
  Bytes sum;
  for (const TrainingTerm& term : *terms) {
    EXPECT_EQ(term.group, TrainingGroup::kActivations);
    sum += term.bytes;
  }
  return sum;
}

// The closed forms, for sizes where every division is exact.
int64_t ClosedForm(const ClassicShape& shape, const TrainingOptions& options) {
  const int64_t t = options.tensor_parallel;
  const int64_t sb = options.batch * options.sequence.value();
  const int64_t sbhl = sb * shape.hidden * shape.layers;
  if (options.recompute == Recompute::kFull) return 2 * sbhl;
  const int64_t hidden = options.sequence_parallel ? 34 * sbhl / t : 10 * sbhl + 24 * sbhl / t;
  const int64_t scores = 5 * shape.heads * options.sequence.value() * sb / t;
  return options.recompute == Recompute::kNone ? hidden + scores : hidden;
}

TEST(ClassicActivations, AreThirteenTensorsThatSumToTheClosedForm) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE(absl::StrCat("rerun with --gtest_random_seed=", seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  const auto between = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(rng);
  };
  for (int i = 0; i < 500; ++i) {
    TrainingOptions options = Training(TrainingMethod::kMixed);
    options.tensor_parallel = options.gpus = between(1, 8);
    options.sequence_parallel = options.tensor_parallel > 1 && between(0, 1) == 1;
    options.batch = between(1, 64);
    options.sequence = Tokens(between(1, 8192));
    options.recompute = static_cast<Recompute>(between(0, 2));
    const ClassicShape shape{.hidden = 840 * between(1, 20),
                             .layers = between(1, 120),
                             .heads = 840 * between(1, 20)};  // 840 divides by 1 to 8
    ASSERT_EQ(SumOf(ClassicActivations(shape, options)), Bytes(ClosedForm(shape, options)));
  }
}

TEST(ClassicActivations, NameTheTensorsOfALayer) {
  const auto terms =
      ClassicActivations({.hidden = 8, .layers = 1, .heads = 2}, Training(TrainingMethod::kMixed));
  ASSERT_TRUE(terms.ok());
  ASSERT_EQ(terms->size(), 13u);
  EXPECT_EQ(terms->at(4).term, "softmax_output");
  EXPECT_EQ(terms->at(4).formula, "1 x 1024 tokens x 2 x 2 heads of all layers x 1024 tokens");
  EXPECT_EQ(terms->at(4).bytes, Bytes(2 * 2 * 1024 * 1024));
}

// By hand: 8 x 4096 + 4 x 32 x 128 + 4 x 8 x 128 + 8 x 14336 + 4 x 32 = 168064 bytes of a token in
// a layer; 2 x 2 x 4096 + 4 x 128256 outside.
TEST(ArchitectureActivations, OfLlama31ByHand) {
  const Bytes all = SumOf(ArchitectureActivations(Llama31(), Training(TrainingMethod::kMixed)));
  EXPECT_EQ(all, Bytes(int64_t{1024} * (32 * 168'064 + 16'384 + 513'024)));
}

TEST(ArchitectureActivations, OfEveryLlamaAreTheClosedForm) {
  for (const char* const name :
       {"huggyllama/llama-13b", "meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.3-70B-Instruct",
        "mistralai/Mistral-7B-v0.1", "Qwen/Qwen2.5-14B", "HuggingFaceTB/SmolLM2-135M"}) {
    const ModelConfig model = ModelNamed(name);
    const AttentionSpec& heads = model.attention.front();
    const int64_t layer = 8 * model.hidden_size + 4 * heads.heads * heads.head_dim +
                          4 * heads.kv_heads * heads.head_dim + 8 * model.intermediate_size +
                          4 * heads.heads;
    const int64_t outside = 4 * model.hidden_size + 4 * model.vocab_size;
    EXPECT_EQ(SumOf(ArchitectureActivations(model, Training(TrainingMethod::kMixed))),
              Bytes(1024 * (model.layers * layer + outside)))
        << name;
  }
}

TEST(ArchitectureActivations, InFp32AreTwiceButForWhatIsFp32Already) {
  const int64_t fp32 = 1024 * (32 * (4 * 32) + 4 * 128'256);
  const Bytes mixed = SumOf(ArchitectureActivations(Llama31(), Training(TrainingMethod::kMixed)));
  const Bytes full = SumOf(ArchitectureActivations(Llama31(), Training(TrainingMethod::kFullFp32)));
  EXPECT_EQ(full, 2 * mixed - Bytes(fp32));
}

TEST(ArchitectureActivations, SelectiveRecomputeDropsOnlyTheLogSumExp) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  const Bytes none = SumOf(ArchitectureActivations(Llama31(), options));
  options.recompute = Recompute::kSelective;
  EXPECT_EQ(none - SumOf(ArchitectureActivations(Llama31(), options)), Bytes(1024 * 32 * 4 * 32));
}

TEST(ArchitectureActivations, FullRecomputeKeepsInputsAndOneLayer) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.recompute = Recompute::kFull;
  const TrainingPlan plan = Planned(Llama31(), options);
  EXPECT_EQ(TermOf(plan, "layer_inputs"), Bytes(1024 * 2 * 4096 * 32));
  EXPECT_EQ(TermOf(plan, "recomputed_layer"), Bytes(1024 * 168'064));
}

TEST(ArchitectureActivations, TensorParallelismSplitsHeadsFfnAndLogits) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.gpus = options.tensor_parallel = 8;
  const Bytes repeated = Bytes(int64_t{1024} * (32 * 8 * 4096 + 4 * 4096));
  const Bytes split = Bytes(int64_t{1024} * (32 * (168'064 - 8 * 4096) + 513'024) / 8);
  EXPECT_EQ(SumOf(ArchitectureActivations(Llama31(), options)), repeated + split);
  options.sequence_parallel = true;
  EXPECT_EQ(SumOf(ArchitectureActivations(Llama31(), options)),
            Bytes(repeated.value() / 8) + split);
}

TEST(ArchitectureActivations, BlocksSideBySideUnderOneNormShareTheirInput) {
  const ModelConfig phi = OtherModelNamed("microsoft/phi-2");
  EXPECT_EQ(TermOf(Planned(phi, Training(TrainingMethod::kMixed)), "projection_inputs"),
            Bytes(1024 * 2 * phi.layers * phi.hidden_size));
}

TEST(ArchitectureActivations, EveryAttentionLayerOfEveryPublishedModelCounts) {
  const auto check = [](const ModelConfig& model) {
    int64_t heads = 0;
    for (const AttentionSpec& layer : model.attention) heads += layer.heads;
    const TrainingPlan plan = Planned(model, Training(TrainingMethod::kMixed));
    EXPECT_EQ(TermOf(plan, "log_sum_exp"), Bytes(1024 * 4 * heads)) << model.name;
    const bool recurs = TermOf(plan, "recurrent_values_estimated") > Bytes(0);
    EXPECT_EQ(recurs, !model.recurrent.empty()) << model.name;
    EXPECT_TRUE(recurs || TermOf(plan, "ffn_values") > Bytes(0)) << model.name;
  };
  for (const PublishedModel& row : kPublishedModels) check(ModelNamed(row.name));
  for (const PublishedModel& row : kOtherPublishedModels) check(OtherModelNamed(row.name));
}

TEST(ArchitectureActivations, NormsOfHeadsAndOfOutputsCount) {
  // Qwen3: q and k norms read every head. Gemma-2: four norms of the residual a layer.
  const ModelConfig qwen = ModelNamed("Qwen/Qwen3-8B");
  const AttentionSpec& heads = qwen.attention.front();
  const int64_t widths = 2 * qwen.hidden_size + (heads.heads + heads.kv_heads) * heads.head_dim;
  EXPECT_EQ(TermOf(Planned(qwen, Training(TrainingMethod::kMixed)), "norm_inputs"),
            Bytes(1024 * qwen.layers * 2 * widths));
  const ModelConfig gemma = ModelNamed("google/gemma-2-9b");
  EXPECT_EQ(TermOf(Planned(gemma, Training(TrainingMethod::kMixed)), "norm_inputs"),
            Bytes(1024 * gemma.layers * 2 * 4 * gemma.hidden_size));
}

TEST(ArchitectureActivations, ExpertsCountTheTokensTheyGet) {
  const TrainingPlan plan =
      Planned(ModelNamed("mistralai/Mixtral-8x7B-v0.1"), Training(TrainingMethod::kMixed));
  EXPECT_EQ(TermOf(plan, "ffn_values"), Bytes(int64_t{1024} * 32 * 2 * 8 * 14336));
  EXPECT_EQ(TermOf(plan, "expert_copies"), Bytes(1024 * 32 * 2 * 2 * 2 * 4096));
  EXPECT_EQ(TermOf(plan, "router_scores"), Bytes(1024 * 32 * 8 * 4));
}

// Llama 4 stores gate_up_proj of its experts as [hidden, 2 x width], the other way round.
TEST(ArchitectureActivations, ExpertsStoredTheOtherWayRoundCountTheSame) {
  const auto with = [](std::vector<int64_t> gate_up, std::vector<int64_t> down) {
    ModelConfig model = Llama31();
    const auto add = [&](std::string name, std::vector<int64_t> shape) {
      model.tensors.push_back({.name = "model.layers.{layer}.mlp.experts." + name,
                               .role = TensorRole::kExpert,
                               .shape = std::move(shape),
                               .layers = {0, 1},
                               .experts = 16,
                               .active_experts = 1});
    };
    add("gate_up_proj", std::move(gate_up));
    add("down_proj", std::move(down));
    return SumOf(ArchitectureActivations(model, Training(TrainingMethod::kMixed)));
  };
  EXPECT_EQ(with({4096, 2 * 8192}, {8192, 4096}), with({2 * 8192, 4096}, {4096, 8192}));
}

TEST(ArchitectureActivations, AdaptersAddTheirRank) {
  const TrainingPlan lora = Planned(Llama31(), Training(TrainingMethod::kLora));
  EXPECT_EQ(TermOf(lora, "adapter_values"), Bytes(1024 * 64 * 16 * 2));
}

TEST(Activations, BeyondTheLargestSizeAreRefused) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.batch = kMaxTrainingBatch;
  options.sequence = Tokens(int64_t{1} << 40);
  for (const auto formula : {ActivationFormula::kArchitecture, ActivationFormula::kClassic}) {
    options.activation_formula = formula;
    const absl::Status status = PlanTraining(Llama31(), options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()), testing::StartsWith("batch x sequence=16777216 x "));
  }
}

}  // namespace
}  // namespace plimsoll
