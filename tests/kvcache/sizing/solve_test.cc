#include "kvcache/sizing/solve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "kvcache/base/size_text.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

constexpr int64_t kGiB = int64_t{1} << 30;

// Llama-3.1-8B with room for exactly `blocks` blocks of 16 tokens (2 MiB each).
InferenceOptions RoomForBlocks(int64_t blocks) {
  InferenceOptions options{.device_bytes = Bytes(80 * kGiB), .utilization = 1.0};
  const InferencePlan plan = *PlanInference(Llama31(), options);
  options.device_bytes -= plan.kv_pool_bytes + plan.unused_bytes;
  options.device_bytes += plan.block_bytes * blocks;
  return options;
}

std::vector<std::string> Types(const std::vector<TypeTried>& tried) {
  std::vector<std::string> types;
  for (const TypeTried& one : tried) types.push_back(one.type);
  return types;
}

TEST(Solve, ByHandTenBlocksHoldOneSequenceOf160TokensOrFiveOf32) {
  const InferenceOptions options = RoomForBlocks(10);
  EXPECT_EQ(*LongestContext(Llama31(), options, 1), Tokens(160));
  EXPECT_EQ(*LongestContext(Llama31(), options, 3), Tokens(48));
  EXPECT_EQ(*LongestContext(Llama31(), options, 5), Tokens(32));
  EXPECT_EQ(*LongestContext(Llama31(), options, 10), Tokens(16));
  EXPECT_EQ(*LongestContext(Llama31(), options, 11), Tokens(0));
  EXPECT_EQ(*SequencesHeld(Llama31(), options, Tokens(32)), 5);
  EXPECT_EQ(*SequencesHeld(Llama31(), options, Tokens(33)), 3);
  EXPECT_EQ(*SequencesHeld(Llama31(), options, Tokens(161)), 0);
}

// With blocks of 16 and 8 tokens of lookahead, 16 tokens take 2 blocks of each sequence; 17 take 2
// as well, but of the prefix the first is full and there once.
TEST(Solve, ByHandALongerContextCanTakeLessWhereItLooksAheadAndSharesAPrefix) {
  InferenceOptions options = RoomForBlocks(6);
  options.lookahead_tokens = Tokens(8);
  options.shared_prefix = Tokens(32);
  options.device_bytes += PlanInference(Llama31(), options)->io_bytes -
                          PlanInference(Llama31(), RoomForBlocks(6))->io_bytes;
  EXPECT_EQ(PlanInference(Llama31(), options)->blocks, Blocks(6));
  EXPECT_EQ(*SequencesHeld(Llama31(), options, Tokens(16)), 3);
  EXPECT_EQ(*SequencesHeld(Llama31(), options, Tokens(17)), 5);
  EXPECT_EQ(*LongestContext(Llama31(), options, 4), Tokens(40));
}

TEST(Solve, TheLongestContextIsAtMostTheModelsOwn) {
  EXPECT_EQ(*LongestContext(Llama31(), {.device_bytes = Bytes(80 * kGiB)}, 1), Tokens(131072));
  EXPECT_EQ(*LongestContext(OtherModelNamed("state-spaces/mamba-2.8b-hf"),
                            {.device_bytes = Bytes(80 * kGiB)}, 1),
            OtherModelNamed("state-spaces/mamba-2.8b-hf").max_context);
}

TEST(Solve, AModelThatDoesNotFitHoldsNothing) {
  EXPECT_EQ(*LongestContext(Llama31(), {.device_bytes = Bytes(kGiB)}, 1), Tokens(0));
  EXPECT_EQ(*SequencesHeld(Llama31(), {.device_bytes = Bytes(kGiB)}, Tokens(1)), 0);
}

TEST(Solve, WeightsAreTriedFromTheWidestAndNotWidened) {
  const auto tried = *TryWeights(Llama31(), {.device_bytes = Bytes(16 * kGiB)},
                                 {.sequences = 1, .context = Tokens(8192)});
  EXPECT_EQ(Types(tried), (std::vector<std::string>{"as stored", "int8", "fp8", "int4"}));
  EXPECT_FALSE(tried[0].holds);
  EXPECT_TRUE(tried[1].holds);
  EXPECT_EQ(tried[0].bytes, Bytes(16060522496));
}

TEST(Solve, KAndVAreTriedFromTheWidest) {
  const auto tried = *TryKv(Llama31(), {.device_bytes = Bytes(24 * kGiB)},
                            {.sequences = 1, .context = Tokens(32768)});
  EXPECT_EQ(Types(tried), (std::vector<std::string>{"bf16", "int8", "fp8", "int4"}));
  EXPECT_EQ(tried[0].bytes, Bytes(131072));
  EXPECT_EQ(tried[1].bytes, Bytes(2 * 32 * 8 * (128 + 4)));
  for (size_t i = 1; i < tried.size(); ++i) EXPECT_GE(tried[i].sequences, tried[i - 1].sequences);
}

TEST(Solve, KAndVThatAModelDoesNotKeepAreNotNarrowed) {
  const auto tried =
      *TryKv(OtherModelNamed("state-spaces/mamba-2.8b-hf"), {.device_bytes = Bytes(24 * kGiB)}, {});
  EXPECT_EQ(std::ssize(tried), 1);
}

TEST(Solve, APoolOfExactlyWhatALoadTakesHoldsIt) {
  InferencePlan plan = *PlanInference(Llama31(), {.device_bytes = Bytes(80 * kGiB)});
  // 33 tokens are 3 blocks of 2 MiB; of a prefix of 40 the two full blocks before the last token
  // are there once.
  EXPECT_EQ(PoolBytesOf(plan, {.sequences = 5, .context = Tokens(33)}), Bytes(5 * 3 << 21));
  plan.shared_prefix = Tokens(40);
  EXPECT_EQ(PoolBytesOf(plan, {.sequences = 5, .context = Tokens(33)}), Bytes((5 + 2) << 21));
  plan.block_bytes = kMaxBytes;
  EXPECT_EQ(PoolBytesOf(plan, {.sequences = 5, .context = Tokens(33)}), kMaxBytes);
}

TEST(Solve, WhatIsWantedMustBeInRange) {
  const InferenceOptions options{.device_bytes = Bytes(80 * kGiB)};
  EXPECT_THAT(std::string(LongestContext(Llama31(), options, 0).status().message()),
              HasSubstr("sequences=0: want 1 to"));
  const WantedLoad none{.sequences = 0, .context = Tokens(1)};
  EXPECT_TRUE(absl::IsInvalidArgument(TryWeights(Llama31(), options, none).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(TryKv(Llama31(), options, none).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FewestGpus(Llama31(), options, none).status()));
  EXPECT_THAT(std::string(SequencesHeld(Llama31(), options, Tokens(0)).status().message()),
              HasSubstr("context=0"));
}

class SolveProperties : public testing::Test {
 protected:
  const int seed_ = testing::UnitTest::GetInstance()->random_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__,
                              "rerun with --gtest_random_seed=" + std::to_string(seed_)};
  std::mt19937_64 random_{static_cast<uint64_t>(seed_)};

  int64_t Between(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random_);
  }

  // Any published model, with a context short enough to try every one.
  ModelConfig AnyShortModel() {
    const int64_t first = std::ssize(kPublishedModels);
    const int64_t row = Between(0, first + std::ssize(kOtherPublishedModels) - 1);
    ModelConfig model =
        row < first ? ModelNamed(kPublishedModels[static_cast<size_t>(row)].name)
                    : OtherModelNamed(kOtherPublishedModels[static_cast<size_t>(row - first)].name);
    model.max_context = Tokens(Between(1, 400));
    return model;
  }

  // A device on which between nothing and a few hundred blocks are left.
  InferenceOptions SmallPool(const ModelConfig& model) {
    InferenceOptions options{.device_bytes = kMaxBytes, .utilization = 1.0};
    options.weights = ElementType::kBf16;
    options.kv = static_cast<ElementType>(Between(2, 6));
    options.block_tokens = Tokens(int64_t{1} << Between(0, 6));
    options.lookahead_tokens = Tokens(Between(0, 1) * Between(0, 40));
    options.shared_prefix = Tokens(Between(0, 1) * Between(0, 300));
    const InferencePlan plan = *PlanInference(model, options);
    const Bytes terms = plan.budget_bytes - plan.kv_pool_bytes - plan.unused_bytes;
    options.device_bytes = terms + Bytes(plan.block_bytes.value() * Between(0, 300));
    options.device_bytes += Bytes(plan.state_bytes_per_sequence.value() * Between(0, 20));
    return options;
  }
};

TEST_F(SolveProperties, TheLongestContextIsTheOneThatTryingAllOfThemFinds) {
  int found = 0;
  for (int round = 0; round < 60; ++round) {
    const ModelConfig model = AnyShortModel();
    const InferenceOptions options = SmallPool(model);
    const int64_t sequences = Between(1, 40);
    Tokens longest(0);
    for (int64_t n = 1; n <= model.max_context.value(); ++n) {
      if (*SequencesHeld(model, options, Tokens(n)) >= sequences) longest = Tokens(n);
    }
    EXPECT_EQ(*LongestContext(model, options, sequences), longest) << model.name;
    found += longest > Tokens(0) && longest < model.max_context ? 1 : 0;
  }
  EXPECT_GT(found, 10) << "the dice should give contexts between the ends";
}

TEST_F(SolveProperties, APoolHoldsALoadExactlyWhereItHasItsBytes) {
  int held = 0;
  for (int round = 0; round < 200; ++round) {
    const ModelConfig model = AnyShortModel();
    const InferenceOptions options = SmallPool(model);
    const InferencePlan plan = *PlanInference(model, options);
    const WantedLoad wanted{.sequences = Between(1, 20),
                            .context = Tokens(Between(1, model.max_context.value()))};
    const bool enough = plan.fits() && PoolBytesOf(plan, wanted) <= plan.kv_pool_bytes;
    EXPECT_EQ(*SequencesHeld(model, options, wanted.context) >= wanted.sequences, enough)
        << model.name;
    held += enough ? 1 : 0;
  }
  EXPECT_GT(held, 20);
  EXPECT_LT(held, 180);
}

TEST_F(SolveProperties, MoreSequencesNeverHaveLongerContexts) {
  for (int round = 0; round < 60; ++round) {
    const ModelConfig model = AnyShortModel();
    const InferenceOptions options = SmallPool(model);
    Tokens last = model.max_context;
    for (int64_t sequences = 1; sequences <= 64; sequences *= 2) {
      const Tokens longest = *LongestContext(model, options, sequences);
      EXPECT_LE(longest, last);
      last = longest;
    }
  }
}

TEST_F(SolveProperties, TheAnswerAmongTypesHoldsAndTheWiderOnesDoNot) {
  for (int round = 0; round < 60; ++round) {
    const ModelConfig model = AnyShortModel();
    const InferenceOptions options = SmallPool(model);
    const WantedLoad wanted{.sequences = Between(1, 20),
                            .context = Tokens(Between(1, model.max_context.value()))};
    const std::vector<TypeTried> types = *TryKv(model, options, wanted);
    for (const TypeTried& one : types) {
      InferenceOptions same = options;
      same.kv = ElementTypeFromName(one.type);
      EXPECT_EQ(one.sequences, *SequencesHeld(model, same, wanted.context));
      EXPECT_EQ(one.holds, one.sequences >= wanted.sequences);
    }
    const std::vector<TypeTried> weights = *TryWeights(model, options, wanted);
    EXPECT_TRUE(
        std::is_sorted(weights.begin(), weights.end(),
                       [](const TypeTried& a, const TypeTried& b) { return a.bytes > b.bytes; }));
  }
}

}  // namespace
}  // namespace plimsoll
