#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/engine/support/engine_run.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

EngineOptions CpuEngine() {
  return {.model_path = Model().folder(),
          .device = "cpu",
          .block_tokens = Tokens(4),
          .loop = {.max_batched_tokens = Tokens(32), .max_sequences = 8},
          .poison_pool = true};
}

std::vector<int32_t> Generate(Engine& engine, std::vector<int32_t> prompt, int64_t count) {
  const auto listener = Start(engine, std::move(prompt), count);
  PLIMSOLL_CHECK(listener != nullptr);
  while (engine.loop().Step()) {
  }
  EXPECT_TRUE(listener->status.ok()) << listener->status;
  return listener->tokens;
}

TEST(Engine, APoolOfExactlyTheBlocksAskedForIsCommitted) {
  EngineOptions options = CpuEngine();
  options.blocks = Blocks(10);
  const SimulatedClock clock;
  const auto engine = Engine::Create(options, clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)->plan().blocks, Blocks(10));
  // Two of K and V, 3 layers, 2 heads of 8 dims, 2 bytes, 4 tokens.
  EXPECT_EQ((*engine)->plan().block_bytes, Bytes(2 * 3 * 2 * 8 * 2 * 4));
  EXPECT_EQ((*engine)->device(), "cpu");
  EXPECT_EQ((*engine)->device_note(), "");
  EXPECT_EQ(Generate(**engine, {1, 2, 3}, 30).size(), 30u);
}

// The plan and what is allocated, side by side: weights to the byte, but for alignment; buffers no
// more than planned; the pool to the page.
void ExpectBytesAsPredicted(const TinyModel& model) {
  EngineOptions options = CpuEngine();
  options.model_path = model.folder();
  options.memory = Bytes(8 << 20);
  const SimulatedClock clock;
  const auto engine = Engine::Create(options, clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const InferencePlan& plan = (*engine)->plan();
  EXPECT_GT(plan.blocks, Blocks(100));
  constexpr int64_t kAlignment = 4096;  // a page of the pool; less for weights
  Bytes measured;
  for (const MemoryStage& stage : (*engine)->memory()) {
    SCOPED_TRACE(stage.name);
    EXPECT_LE(stage.measured.value(), stage.predicted.value() + kAlignment);
    EXPECT_GE(stage.measured.value(), stage.predicted.value() * 9 / 10);
    measured += stage.measured;
  }
  EXPECT_EQ((*engine)->memory().size(), 3u);
  EXPECT_LE(measured.value(), plan.budget_bytes.value() + 2 * kAlignment);
}

TEST(Engine, PredictedAndMeasuredBytesAgree) { ExpectBytesAsPredicted(Model()); }

TEST(Engine, PredictedAndMeasuredBytesOfExpertsAgree) {
  const TinyModel model({.architecture = "Qwen2MoeForCausalLM",
                         .more = R"(, "num_experts": 8, "num_experts_per_tok": 4,
                         "moe_intermediate_size": 64, "shared_expert_intermediate_size": 200)"});
  ExpectBytesAsPredicted(model);
}

// A row of 8 numbers and its word; what is saved on a block becomes more blocks.
TEST(Engine, APoolOfQuantisedKvHoldsTheBlocksThatThePlanSays) {
  const SimulatedClock clock;
  std::vector<Blocks> blocks;
  for (const auto& [type, row_bytes] :
       {std::pair(ElementType::kBf16, 16), std::pair(ElementType::kInt8, 12),
        std::pair(ElementType::kInt4, 8), std::pair(ElementType::kFp8, 8)}) {
    SCOPED_TRACE(NameOf(type));
    EngineOptions options = CpuEngine();
    options.memory = Bytes(4 << 20);
    options.kv_type = type;
    const auto engine = Engine::Create(options, clock);
    ASSERT_TRUE(engine.ok()) << engine.status();
    const InferencePlan& plan = (*engine)->plan();
    EXPECT_EQ(plan.block_bytes, Bytes(2 * 3 * 2 * 4 * row_bytes));
    EXPECT_EQ((*engine)->layout().block_bytes, plan.block_bytes);
    EXPECT_EQ(plan.kv_pool_bytes, plan.block_bytes * plan.blocks.value());
    const Bytes committed = (*engine)->memory().back().measured;
    EXPECT_GE(committed, plan.kv_pool_bytes);
    EXPECT_LT(committed, plan.kv_pool_bytes + Bytes(4096));
    const Blocks there = (*engine)->admission().With(
        [](AdmissionController& admission) { return admission.Snapshot().blocks.total; });
    EXPECT_EQ(there, plan.blocks);
    EXPECT_EQ(Generate(**engine, {1, 2, 3}, 20).size(), 20u);
    blocks.push_back(plan.blocks);
  }
  EXPECT_GT(blocks[1].value(), blocks[0].value() * 5 / 4);
  EXPECT_GT(blocks[2], blocks[1]);
}

TEST(Engine, RoundsWeightsWhenAskedAndPlansForThat) {
  EngineOptions options = CpuEngine();
  options.blocks = Blocks(20);
  const SimulatedClock clock;
  const auto plain = Engine::Create(options, clock);
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
    options.weights = type;
    const auto rounded = Engine::Create(options, clock);
    ASSERT_TRUE(rounded.ok()) << rounded.status();
    EXPECT_EQ((*rounded)->plan().weights_type, type);
    EXPECT_LT((*rounded)->memory()[0].measured, (*plain)->memory()[0].measured);
    options.reference = true;
    const auto reference = Engine::Create(options, clock);
    options.reference = false;
    ASSERT_TRUE(reference.ok()) << reference.status();
    EXPECT_EQ(Generate(**rounded, {5, 6, 7}, 6), Generate(**reference, {5, 6, 7}, 6));
  }
  options.weights = ElementType::kFp8;
  EXPECT_THAT(std::string(Engine::Create(options, clock).status().message()),
              HasSubstr("weights=fp8: want int8 or int4"));
}

class EveryKvType : public testing::TestWithParam<ElementType> {};

TEST_P(EveryKvType, FastAndReferenceOperationsChooseTheSameTokens) {
  EngineOptions options = CpuEngine();
  options.blocks = Blocks(20);
  options.kv_type = GetParam();
  const SimulatedClock clock;
  const auto fast = Engine::Create(options, clock);
  options.reference = true;
  const auto reference = Engine::Create(options, clock);
  ASSERT_TRUE(fast.ok() && reference.ok());
  const std::vector<int32_t> prompt = {9, 8, 7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(Generate(**fast, prompt, 8), Generate(**reference, prompt, 8));
}

INSTANTIATE_TEST_SUITE_P(Engine, EveryKvType,
                         testing::Values(ElementType::kFp32, ElementType::kFp16, ElementType::kBf16,
                                         ElementType::kFp8, ElementType::kInt8, ElementType::kInt4),
                         [](const auto& each) { return std::string(NameOf(each.param)); });

TEST(Engine, RequestsBeyondTheModelsContextNeverFit) {
  EngineOptions options = CpuEngine();
  options.blocks = Blocks(1000);
  const SimulatedClock clock;
  const auto engine = Engine::Create(options, clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const auto answer = (*engine)->admission().With([](AdmissionController& admission) {
    return admission.Reserve({.prompt_tokens = Tokens(512), .max_new_tokens = Tokens(1)});
  });
  ASSERT_TRUE(answer.ok());
  ASSERT_TRUE(std::holds_alternative<Refusal>(*answer));
  EXPECT_EQ(std::get<Refusal>(*answer).decision, Decision::kNever);
  EXPECT_EQ(std::get<Refusal>(*answer).binding_term, "context");
}

TEST(Engine, AConfigFileNamesItsFolder) {
  EngineOptions options = CpuEngine();
  options.model_path += "/config.json";
  options.blocks = Blocks(4);
  const SimulatedClock clock;
  EXPECT_TRUE(Engine::Create(options, clock).ok());
}

struct Refused {
  const char* what;
  EngineOptions options;
  absl::StatusCode code;
  const char* says;
};

TEST(Engine, WhatCannotBeIsRefusedInOneLine) {
  const auto with = [](auto change) {
    EngineOptions options = CpuEngine();
    options.blocks = Blocks(4);
    change(options);
    return options;
  };
  using Options = EngineOptions;
  const std::vector<Refused> cases = {
      {"too little memory", with([](Options& o) {
         o.blocks.reset();
         o.memory = Bytes(100'000);
       }),
       absl::StatusCode::kResourceExhausted, "short"},
      {"more memory than there is", with([](Options& o) {
         o.blocks.reset();
         o.memory = Bytes(int64_t{1} << 46);
         o.block_tokens = Tokens(1024);
         o.utilization = 0.5;
       }),
       absl::StatusCode::kResourceExhausted, "are free"},
      {"more blocks than there is memory for", with([](Options& o) {
         o.blocks = Blocks((int64_t{1} << 31) - 1);
         o.block_tokens = Tokens(1024);
       }),
       absl::StatusCode::kResourceExhausted, "are free"},
      {"no blocks", with([](Options& o) { o.blocks = Blocks(0); }),
       absl::StatusCode::kInvalidArgument, "blocks=0"},
      {"no rows", with([](Options& o) { o.loop.max_batched_tokens = Tokens(0); }),
       absl::StatusCode::kInvalidArgument, "max_batched_tokens=0"},
      {"no sequences", with([](Options& o) { o.loop.max_sequences = 0; }),
       absl::StatusCode::kInvalidArgument, "max_sequences=0"},
      {"odd blocks", with([](Options& o) { o.block_tokens = Tokens(3); }),
       absl::StatusCode::kInvalidArgument, "block_tokens=3"},
      {"a cache of a way to multiply", with([](Options& o) { o.kv_type = ElementType::kTf32; }),
       absl::StatusCode::kInvalidArgument, "tf32"},
      {"swap space for nobody", with([](Options& o) { o.swap = Bytes(1 << 20); }),
       absl::StatusCode::kInvalidArgument, "swap: nobody stops under never-evict"},
      {"swap space for less than a block", with([](Options& o) {
         o.swap = Bytes(100);
         o.admission.policy.policy = Policy::kWatermark;
       }),
       absl::StatusCode::kInvalidArgument, "swap=100: want 1 to 2^31 - 1 blocks of "},
      {"unknown device", with([](Options& o) { o.device = "tpu"; }),
       absl::StatusCode::kInvalidArgument, "tpu"},
      {"no model", with([](Options& o) { o.model_path = "/nowhere"; }),
       absl::StatusCode::kInvalidArgument, "/nowhere"},
  };
  const SimulatedClock clock;
  for (const Refused& refused : cases) {
    SCOPED_TRACE(refused.what);
    const absl::Status status = Engine::Create(refused.options, clock).status();
    EXPECT_EQ(status.code(), refused.code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(refused.says));
    EXPECT_EQ(status.message().find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace plimsoll
