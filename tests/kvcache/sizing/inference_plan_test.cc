#include "kvcache/sizing/inference_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "kvcache/base/size_text.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kMiB = int64_t{1} << 20;

InferencePlan Plan(const ModelConfig& model, const InferenceOptions& options) {
  const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  return plan.value_or(InferencePlan{});
}

Bytes Term(const InferencePlan& plan, const std::string& name) {
  const auto term = std::find_if(plan.formulas.begin(), plan.formulas.end(),
                                 [&](const PlanTerm& candidate) { return candidate.term == name; });
  EXPECT_NE(term, plan.formulas.end()) << name;
  return term == plan.formulas.end() ? Bytes(0) : term->bytes;
}

// Worked by hand: 80 GiB x 0.92 = 79027398246; less weights 16060522496, input and output
// 8192 x 4096 x 2 each, logits 256 x 128256 x 4, activations 8192 x 131072, attention's pieces
// (256 + 256 x 8) x 4 x 130 x 4, the sampler's candidates 128256 x 16.
TEST(InferencePlan, OfLlama31On80GiBAsByHand) {
  const InferencePlan plan = Plan(Llama31(), {.device_bytes = Bytes(80 * kGiB)});
  EXPECT_EQ(plan.parameters, 8030261248);
  EXPECT_EQ(plan.kv_bytes_per_token, Bytes(131072));
  EXPECT_EQ(plan.block_bytes, Bytes(2097152));
  EXPECT_EQ(plan.budget_bytes, Bytes(79027398246));
  EXPECT_EQ(plan.weights_bytes, Bytes(16060522496));
  EXPECT_EQ(plan.io_bytes, Bytes(2 * 64 * kMiB + 131334144));
  EXPECT_EQ(plan.activation_bytes, Bytes(kGiB + 4792320 + 2052096));
  const int64_t left =
      79027398246 - 16060522496 - 128 * kMiB - 131334144 - kGiB - 4792320 - 2052096;
  EXPECT_EQ(plan.blocks, Blocks(left / 2097152));
  EXPECT_EQ(plan.unused_bytes, Bytes(left % 2097152));
  EXPECT_EQ(plan.tokens, Tokens(left / 2097152 * 16));
  EXPECT_TRUE(plan.fits());
}

TEST(InferencePlan, Of13BAt1024TokensHas10MiBOfInputAndOfOutput) {
  const InferencePlan plan =
      Plan(ModelNamed("meta-llama/Llama-2-13b-hf"),
           {.device_bytes = Bytes(80 * kGiB), .max_batched_tokens = Tokens(1024)});
  EXPECT_EQ(Term(plan, "input"), Bytes(10 * kMiB));
  EXPECT_EQ(Term(plan, "output"), Bytes(10 * kMiB));
}

TEST(InferencePlan, EveryTermHasItsFormulaWithTheNumbersIn) {
  const InferencePlan plan = Plan(Llama31(), {.device_bytes = Bytes(80 * kGiB)});
  std::map<std::string, std::string> formulas;
  for (const PlanTerm& term : plan.formulas) formulas[term.term] = term.formula;
  EXPECT_EQ(formulas["weights"], "8030261248 parameters x 2 bytes");
  EXPECT_EQ(formulas["input"], "8192 tokens x 4096 hidden x 2 bytes");
  EXPECT_EQ(formulas["output"], formulas["input"]);
  EXPECT_EQ(formulas["logits"], "256 sequences x 128256 vocabulary x 4 bytes");
  EXPECT_EQ(formulas["activations"],
            "8192 tokens x (4096 residual x 4 bytes + 57344 of a layer x 2 bytes)");
  EXPECT_EQ(formulas["attention"],
            "(256 pieces + 256 sequences x 8 kv heads) x 4 heads of each x (128 + 2) x 4 bytes");
  EXPECT_EQ(formulas["sampler"], "128256 vocabulary x 16 bytes, one row at a time");
  EXPECT_EQ(formulas["runtime"], "as given");
  EXPECT_EQ(formulas["kv"],
            "29383 blocks x 16 tokens x 131072 bytes (2 x 32 layers x 8 kv heads x 256 bytes, "
            "head dim 128 in bf16)");
}

TEST(InferencePlan, KAndVAreFp16ForFp16ModelsElseBf16) {
  const InferenceOptions options{.device_bytes = Bytes(80 * kGiB)};
  EXPECT_EQ(Plan(Llama7B(), options).kv_type, ElementType::kFp16);
  EXPECT_EQ(Plan(Llama31(), options).kv_type, ElementType::kBf16);
  EXPECT_EQ(Plan(ModelNamed("google/gemma-2-2b"), options).kv_type, ElementType::kBf16);
  EXPECT_EQ(Plan(ModelNamed("google/gemma-2-2b"), options).weights_type, ElementType::kFp32);
}

TEST(InferencePlan, SequencesAreBlocksOverTheBlocksOfOne) {
  const InferencePlan plan =
      Plan(Llama31(), {.device_bytes = Bytes(80 * kGiB),
                       .contexts = {Tokens(1), Tokens(16), Tokens(17), Tokens(1000)}});
  ASSERT_EQ(plan.max_sequences.size(), 4U);
  EXPECT_EQ(plan.max_sequences[0].sequences, plan.blocks.value());
  EXPECT_EQ(plan.max_sequences[1].sequences, plan.blocks.value());
  EXPECT_EQ(plan.max_sequences[2].sequences, plan.blocks.value() / 2);
  EXPECT_EQ(plan.max_sequences[3].sequences, plan.blocks.value() / 63);
}

TEST(InferencePlan, TheDefaultContextsDoubleUpToTheModelsOwn) {
  const InferencePlan plan = Plan(Llama7B(), {.device_bytes = Bytes(80 * kGiB)});
  ASSERT_EQ(plan.max_sequences.size(), 2U);
  EXPECT_EQ(plan.max_sequences[0].context, Tokens(1024));
  EXPECT_EQ(plan.max_sequences[1].context, Tokens(2048));
}

TEST(InferencePlan, TheLongestContextIsThePoolOrTheModels) {
  EXPECT_EQ(Plan(Llama31(), {.device_bytes = Bytes(80 * kGiB)}).longest_context, Tokens(131072));
  const InferencePlan tight = Plan(Llama31(), {.device_bytes = Bytes(20 * kGiB)});
  EXPECT_EQ(tight.longest_context, tight.tokens);
  EXPECT_LT(tight.longest_context, Tokens(131072));
}

TEST(InferencePlan, WindowsAreToldApartAndChargedInFull) {
  const InferencePlan plan =
      Plan(ModelNamed("google/gemma-2-9b"), {.device_bytes = Bytes(80 * kGiB)});
  EXPECT_EQ(plan.kv_bytes_per_token, Bytes(344064));
  EXPECT_EQ(plan.kv_bytes_per_token_long, Bytes(172032));
  EXPECT_EQ(plan.window_bytes_per_sequence, Bytes(704643072));
  EXPECT_EQ(plan.block_bytes, Bytes(344064 * 16));
}

TEST(InferencePlan, AModelThatDoesNotFitHasAShortfall) {
  const InferencePlan plan = Plan(Llama31(), {.device_bytes = Bytes(16 * kGiB)});
  EXPECT_FALSE(plan.fits());
  EXPECT_EQ(plan.blocks, Blocks(0));
  EXPECT_EQ(plan.unused_bytes, Bytes(0));
  EXPECT_EQ(plan.longest_context, Tokens(0));
  EXPECT_EQ(plan.shortfall_bytes, plan.weights_bytes + plan.io_bytes + plan.activation_bytes +
                                      plan.block_bytes - plan.budget_bytes);
}

TEST(InferencePlan, MissingABlockByOneByteDoesNotFit) {
  InferenceOptions options{.device_bytes = Bytes(kGiB), .utilization = 1.0};
  const InferencePlan far = Plan(Llama31(), options);
  options.device_bytes = far.budget_bytes + far.shortfall_bytes;
  EXPECT_EQ(Plan(Llama31(), options).blocks, Blocks(1));
  EXPECT_EQ(Plan(Llama31(), options).unused_bytes, Bytes(0));
  options.device_bytes = options.device_bytes - Bytes(1);
  EXPECT_EQ(Plan(Llama31(), options).shortfall_bytes, Bytes(1));
}

TEST(InferencePlan, AQuantisedCheckpointNeedsToBeToldItsType) {
  ModelConfig model = Llama31();
  model.quantization = "fp8";
  const InferenceOptions silent{.device_bytes = Bytes(80 * kGiB)};
  EXPECT_THAT(std::string(PlanInference(model, silent).status().message()),
              HasSubstr("stored as fp8"));
  EXPECT_TRUE(
      PlanInference(model, {.device_bytes = Bytes(80 * kGiB), .weights = ElementType::kFp8}).ok());
}

void ExpectRefused(const InferenceOptions& options, const std::string& message) {
  const absl::Status status = PlanInference(Llama31(), options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

TEST(InferencePlan, OptionsOutOfRangeAreRefusedByName) {
  const Bytes device(80 * kGiB);
  const Bytes too_much = kMaxBytes + Bytes(1);
  ExpectRefused({.device_bytes = Bytes(0)}, "device_bytes=0");
  ExpectRefused({.device_bytes = too_much}, "device_bytes=1152921504606846977");
  ExpectRefused({.device_bytes = device, .utilization = 0.0}, "utilization=0.0");
  ExpectRefused({.device_bytes = device, .utilization = 1.01}, "utilization=1.01");
  ExpectRefused({.device_bytes = device, .utilization = std::nan("")}, "utilization=nan");
  ExpectRefused({.device_bytes = device, .margin = too_much}, "margin=");
  ExpectRefused({.device_bytes = device, .block_tokens = Tokens(24)}, "block_tokens=24");
  ExpectRefused({.device_bytes = device, .max_batched_tokens = Tokens(0)}, "max_batched_tokens=0");
  ExpectRefused({.device_bytes = device, .max_batched_tokens = Tokens(INT64_MAX)},
                "max_batched_tokens=9223372036854775807");
  ExpectRefused({.device_bytes = device, .max_sequences = -1}, "max_sequences=-1");
  ExpectRefused({.device_bytes = device, .max_sequences = INT64_MAX}, "max_sequences=92233");
  ExpectRefused({.device_bytes = device, .runtime = too_much}, "runtime=");
  ExpectRefused({.device_bytes = device, .contexts = {Tokens(0)}}, "context=0");
  ExpectRefused({.device_bytes = device, .contexts = {Tokens(INT64_MAX)}}, "context=92233");
}

// Three attention layers and 29 of state 62287360 bytes a sequence; a block of 16 tokens has
// 196608.
TEST(InferencePlan, AHybridsStatesComeOutOfThePool) {
  const InferencePlan plan = Plan(OtherModelNamed("ibm-ai-platform/Bamba-9B"),
                                  {.device_bytes = Bytes(40 * kGiB), .contexts = {Tokens(4096)}});
  EXPECT_EQ(plan.block_bytes, Bytes(196608));
  EXPECT_EQ(plan.state_bytes_per_sequence, Bytes(62287360));
  const int64_t each = 256 * 196608 + 62287360;
  EXPECT_EQ(plan.max_sequences[0].sequences, plan.kv_pool_bytes.value() / each);
  EXPECT_LT(plan.longest_context, plan.tokens);
}

TEST(InferencePlan, AHybridThatHasNoRoomForOneStateDoesNotFit) {
  const ModelConfig model = OtherModelNamed("ibm-ai-platform/Bamba-9B");
  const InferencePlan roomy = Plan(model, {.device_bytes = Bytes(40 * kGiB), .utilization = 1.0});
  const Bytes terms = roomy.budget_bytes - roomy.kv_pool_bytes - roomy.unused_bytes;
  const Bytes least = roomy.block_bytes + roomy.state_bytes_per_sequence;
  EXPECT_TRUE(Plan(model, {.device_bytes = terms + least, .utilization = 1.0}).fits());
  const InferencePlan tight =
      Plan(model, {.device_bytes = terms + least - Bytes(1), .utilization = 1.0});
  EXPECT_EQ(tight.shortfall_bytes, Bytes(1));
  EXPECT_EQ(tight.blocks, Blocks(0));
}

TEST(InferencePlan, ABlockOfARecurrentModelIsOneSequence) {
  const InferencePlan plan =
      Plan(OtherModelNamed("state-spaces/mamba-2.8b-hf"),
           {.device_bytes = Bytes(20 * kGiB), .contexts = {Tokens(1), Tokens(1 << 20)}});
  EXPECT_EQ(plan.kv_bytes_per_token, Bytes(0));
  EXPECT_EQ(plan.block_bytes, Bytes(12451840));
  EXPECT_GT(plan.blocks, Blocks(1));
  EXPECT_EQ(plan.max_sequences[0].sequences, plan.blocks.value());
  EXPECT_EQ(plan.max_sequences[1].sequences, plan.blocks.value());
}

TEST(InferencePlan, AQuantisedCheckpointIsCountedAsStoredUnlessATypeIsNamed) {
  const ModelConfig model = OtherModelNamed("openai/gpt-oss-120b");
  const InferencePlan stored = Plan(model, {.device_bytes = Bytes(100 * kGiB)});
  EXPECT_EQ(stored.weights_bytes, Bytes(65248815744));
  EXPECT_EQ(stored.weights_format, "mxfp4");
  const InferencePlan named =
      Plan(model, {.device_bytes = Bytes(400 * kGiB), .weights = ElementType::kBf16});
  EXPECT_EQ(named.weights_bytes, Bytes(2 * 116829156672));
  EXPECT_EQ(named.weights_format, "bf16");
}

TEST(InferencePlan, TheLargestOptionsTogetherDoNotOverflow) {
  const InferencePlan plan = Plan(ModelNamed("meta-llama/Llama-3.1-405B"),
                                  {.device_bytes = kMaxBytes,
                                   .utilization = 1.0,
                                   .margin = kMaxBytes,
                                   .weights = ElementType::kFp32,
                                   .kv = ElementType::kFp32,
                                   .block_tokens = Tokens(1024),
                                   .max_batched_tokens = Tokens(kMaxBatchedTokens),
                                   .max_sequences = kMaxPlannedSequences,
                                   .runtime = kMaxBytes,
                                   .contexts = {Tokens(int64_t{1} << 40)}});
  EXPECT_FALSE(plan.fits());
}

TEST(DeviceFor, IsTheSmallestDeviceWithThatBudget) {
  for (const double utilization : {0.01, 0.3, 0.92, 1.0}) {
    for (const int64_t budget : {int64_t{1}, int64_t{999}, 16 * kGiB + 7, int64_t{1} << 52}) {
      const int64_t device = DeviceFor(Bytes(budget), utilization).value();
      EXPECT_GE(static_cast<int64_t>(static_cast<double>(device) * utilization), budget);
      EXPECT_LT(static_cast<int64_t>(static_cast<double>(device - 1) * utilization), budget);
    }
  }
}

}  // namespace
}  // namespace plimsoll
