// What is often said about memory, held against our own figures. The page of sayings quotes these.
#include <gtest/gtest.h>

#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/textbook_plan.h"
#include "kvcache/sizing/training_compute.h"
#include "tests/kvcache/sizing/training_cases.h"

namespace plimsoll {
namespace {

constexpr int64_t kBillion = 1'000'000'000;

TrainingOptions Recomputing(Recompute recompute, int64_t tokens) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.sequence = Tokens(tokens);
  options.recompute = recompute;
  return options;
}

// Percent of activations saved, rounded.
template <class Model>
int64_t Saved(const Model& model, Recompute recompute, int64_t tokens) {
  const Bytes none = Planned(model, Recomputing(Recompute::kNone, tokens)).activations_bytes;
  const Bytes some = Planned(model, Recomputing(recompute, tokens)).activations_bytes;
  return (200 * (none - some).value() + none.value()) / (2 * none.value());
}

// "Checkpointing saves 50-70 % of activations for 20-40 % more compute." The compute is right for
// full recompute, which saves more; the memory is right for selective recompute where scores are
// kept, which costs a tenth of that compute.
TEST(Sayings, CheckpointingSaves50To70PercentFor20To40PercentMoreCompute) {
  EXPECT_EQ(Saved(Llama31(), Recompute::kFull, 4096), 84);
  EXPECT_NEAR(RecomputeOverhead(Llama31(), Recomputing(Recompute::kFull, 4096)), 0.313, 0.0005);
  const TextbookModel textbook = UsualShape(7 * kBillion);
  EXPECT_EQ(Saved(textbook, Recompute::kSelective, 2048), 70);
  EXPECT_NEAR(RecomputeOverhead(textbook, Recomputing(Recompute::kSelective, 2048)), 0.0256,
              0.0001);
  EXPECT_EQ(Saved(textbook, Recompute::kFull, 2048), 98);
  EXPECT_NEAR(RecomputeOverhead(textbook, Recomputing(Recompute::kFull, 2048)), 1.0 / 3, 1e-9);
  EXPECT_EQ(Saved(Llama31(), Recompute::kSelective, 4096), 0);  // flash attention keeps no scores
}

// By hand, a token of 4096: 2 x (8,030,261,248 - 2 x 128,256 x 4096 - 65 x 4096) in matrices of
// layers, 32 x 2 x 4096 x 32 x 256 in scores, 2 x 128,256 x 4096 in the head.
TEST(RecomputeOverhead, OfLlama31ByHand) {
  constexpr double kTable = 128'256.0 * 4096;
  constexpr double kMatrices = 2 * (8'030'261'248.0 - 2 * kTable - 65.0 * 4096);
  constexpr double kScores = 32.0 * 2 * 4096 * 32 * 256;
  const double step = 3 * (kMatrices + kScores + 2 * kTable);
  const auto overhead = [](Recompute recompute) {
    return RecomputeOverhead(Llama31(), Recomputing(recompute, 4096));
  };
  EXPECT_DOUBLE_EQ(overhead(Recompute::kFull), (kMatrices + kScores) / step);
  EXPECT_DOUBLE_EQ(overhead(Recompute::kSelective), kScores / step);
  EXPECT_EQ(overhead(Recompute::kNone), 0);
}

// "QLoRA trains 65B on a 24 GB card": the base alone is 34.5 GB, and what is needed is 45.2 GiB.
TEST(Sayings, QloraOf65BNeedsACardOf48GB) {
  TrainingOptions options = Recomputing(Recompute::kFull, 512);
  options.method = TrainingMethod::kQlora;
  options.lora_targets = {"all-linear"};
  options.lora_rank = 64;
  const TrainingPlan plan = Planned(ModelNamed("huggyllama/llama-65b"), options);
  EXPECT_EQ(InGB(TermOf(plan, "base_weights")), "34.5");
  EXPECT_EQ(InGiB(plan.total_bytes), "45.2");
  options.lora_rank = 8;  // however little is trained
  options.lora_targets = {"q_proj"};
  EXPECT_GT(Planned(ModelNamed("huggyllama/llama-65b"), options).total_bytes,
            Bytes(int64_t{24} << 30));
}

InferencePlan Serving(bool flash_attention) {
  const InferenceOptions options{.device_bytes = Bytes(int64_t{80} << 30),
                                 .flash_attention = flash_attention};
  absl::StatusOr<InferencePlan> plan = PlanInference(Llama31(), options);
  PLIMSOLL_CHECK(plan.ok(), plan.status().message());
  return *std::move(plan);
}

// "Flash attention shrinks the KV cache": it keeps scores out of memory, and K and V as they are.
TEST(Sayings, FlashAttentionLeavesTheKvCacheAsItIs) {
  EXPECT_EQ(Serving(true).kv_bytes_per_token, Serving(false).kv_bytes_per_token);
  EXPECT_EQ(Serving(true).kv_bytes_per_token, Bytes(131'072));
  EXPECT_LT(Serving(true).activation_bytes, Serving(false).activation_bytes);
}

// "TF32 takes 19 bits": in the multiplier; what is stored has 32.
TEST(Sayings, Tf32Takes32BitsOfMemory) {
  TextbookOptions tf32{.parameters = 13 * kBillion, .weights = ElementType::kTf32};
  EXPECT_EQ(PlanByTextbook(tf32)->weights_bytes, Bytes(52 * kBillion));
  TextbookOptions fp32{.parameters = 13 * kBillion, .weights = ElementType::kFp32};
  EXPECT_EQ(PlanByTextbook(fp32)->weights_bytes, Bytes(52 * kBillion));
}

// "Serving 7B, 13B and 70B takes 14, 26 and 140 GB; training them 120, 210 and over 1000."
TEST(Sayings, SummariesOf7B13BAnd70BBesideTheModels) {
  const auto weights = [](int64_t billions) {
    return PlanByTextbook({.parameters = billions * kBillion})->weights_bytes;
  };
  EXPECT_EQ(weights(7), Bytes(14 * kBillion));
  EXPECT_EQ(weights(13), Bytes(26 * kBillion));
  EXPECT_EQ(weights(70), Bytes(140 * kBillion));
  const auto exact = [](std::string_view name) {
    const TrainingPlan plan = Planned(ModelNamed(name), Training(TrainingMethod::kMixed));
    return InGB(plan.weights_bytes) + " " + InGB(StatesOf(plan), 0);
  };
  EXPECT_EQ(exact("huggyllama/llama-7b"), "13.5 108");
  EXPECT_EQ(exact("huggyllama/llama-13b"), "26.0 208");
  EXPECT_EQ(exact("meta-llama/Llama-3.3-70B-Instruct"), "141.1 1129");
}

// "Doubling the sequence quadruples activations": with scores kept, between two and four times as
// much, the nearer to four the longer the sequence; without, twice.
TEST(Sayings, DoublingTheSequenceTakesTwoToFourTimes) {
  const auto bytes = [](int64_t tokens) {
    const TextbookModel textbook = UsualShape(7 * kBillion);
    return static_cast<double>(
        Planned(textbook, Recomputing(Recompute::kNone, tokens)).activations_bytes.value());
  };
  EXPECT_NEAR(bytes(4096) / bytes(2048), 3.40, 0.005);
  EXPECT_NEAR(bytes(32768) / bytes(16384), 3.90, 0.005);
}

// The exact model beside the 13B of the worked examples, and the 8B.
TEST(Sayings, ExactModelsBesideTheWorkedExamples) {
  const TrainingPlan llama13 =
      Planned(ModelNamed("huggyllama/llama-13b"), Training(TrainingMethod::kMixed));
  EXPECT_EQ(llama13.weights_bytes, Bytes(26'031'728'640));
  EXPECT_EQ(llama13.optimizer_bytes, Bytes(156'190'371'840));
  EXPECT_EQ(InGiB(llama13.activations_bytes, 2), "7.49");  // 14.45 with scores and dropout
  const TrainingPlan llama8 = Planned(Llama31(), Training(TrainingMethod::kMixed));
  EXPECT_EQ(StatesOf(llama8), Bytes(16 * 8'030'261'248));
}

}  // namespace
}  // namespace plimsoll
