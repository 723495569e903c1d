#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

#include "kvcache/sizing/solve.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(SolveGpus, ByHand70BillionParametersIn16BitsTakeTwoCardsOf80GiBAndMoreForItsContext) {
  const ModelConfig model = ModelNamed("meta-llama/Llama-3.3-70B-Instruct");
  const InferenceOptions options{.device_bytes = Bytes(80 * kGiB)};
  // 141.1 GB of weights over 79.0 GB of budget.
  const GpuSearch few = *FewestGpus(model, options, {.sequences = 1, .context = Tokens(8192)});
  ASSERT_TRUE(few.holds);
  EXPECT_EQ(few.best.back().gpus, 2);
  EXPECT_EQ(few.best.back().tensor_parallel, 2);
  // One sequence of 131,072 tokens is 40 GiB more.
  const GpuSearch more = *FewestGpus(model, options, {.sequences = 1, .context = Tokens(131072)});
  ASSERT_TRUE(more.holds);
  EXPECT_GT(more.best.back().gpus, 2);
}

TEST(SolveGpus, ADeviceTooSmallForAnyShareHoldsNothing) {
  const GpuSearch none = *FewestGpus(Llama31(), {.device_bytes = Bytes(kGiB / 4)}, {});
  EXPECT_FALSE(none.holds);
}

TEST(SolveGpus, TheRuntimeIsThatOfTheSplit) {
  const GpuSpec gpu = *FindGpu("h100");
  InferenceOptions options{.device_bytes = gpu.memory()};
  const Bytes alone = WithRuntimeOf(gpu, Llama31(), options).runtime;
  options.tensor_parallel = 2;
  EXPECT_GT(WithRuntimeOf(gpu, Llama31(), options).runtime, alone) << "buffers to communicate";
  options.tensor_parallel = int64_t{1} << 62;
  options.pipeline_parallel = -7;
  EXPECT_GT(WithRuntimeOf(gpu, Llama31(), options).runtime, Bytes(0)) << "bounded; refused later";
}

TEST(SolveGpus, TheCatalogueIsSortedByCountAndEachAnswerIsFewest) {
  const WantedLoad wanted{.sequences = 2, .context = Tokens(8192)};
  const std::vector<GpuChoice> choices = *GpusThatHold(
      ModelNamed("meta-llama/Llama-3.3-70B-Instruct"), {.device_bytes = Bytes(1)}, wanted);
  ASSERT_GT(choices.size(), 10U);
  for (size_t i = 0; i < choices.size(); ++i) {
    EXPECT_GE(choices[i].split.sequences, wanted.sequences);
    EXPECT_LE(choices[i].split.gpus, kMostOfOneKind);
    EXPECT_TRUE(i == 0 || choices[i - 1].split.gpus <= choices[i].split.gpus);
  }
}

class SolveGpusProperties : public testing::Test {
 protected:
  const int seed_ = testing::UnitTest::GetInstance()->random_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__,
                              "rerun with --gtest_random_seed=" + std::to_string(seed_)};
  std::mt19937_64 random_{static_cast<uint64_t>(seed_)};

  int64_t Between(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random_);
  }

  ModelConfig AnyModel() {
    const int64_t row = Between(0, std::ssize(kPublishedModels) - 1);
    return ModelNamed(kPublishedModels[static_cast<size_t>(row)].name);
  }

  // On which the weights alone take between a quarter of one and a dozen.
  InferenceOptions AnyDevice(const ModelConfig& model) {
    InferenceOptions options{.device_bytes = Bytes(kGiB)};
    options.weights = ElementType::kBf16;
    const int64_t bytes = 2 * model.Parameters();
    options.device_bytes = Bytes(bytes / Between(1, 48) * 4 + 2 * kGiB);
    options.max_batched_tokens = Tokens(512);
    options.max_sequences = 8;
    return options;
  }
};

// For each count of GPUs, the most sequences that any split of it holds: every pair is planned.
std::map<int64_t, int64_t> TryingEverySplit(const ModelConfig& model, InferenceOptions options,
                                            Tokens context, int64_t most) {
  std::map<int64_t, int64_t> held;
  for (int64_t tensor = 1; tensor <= most; ++tensor) {
    for (int64_t pipeline = 1; tensor * pipeline <= most; ++pipeline) {
      options.tensor_parallel = tensor;
      options.pipeline_parallel = pipeline;
      const auto sequences = SequencesHeld(model, options, context);
      if (!sequences.ok()) continue;
      const auto at = held.try_emplace(tensor * pipeline, 0).first;
      at->second = std::max(at->second, *sequences);
    }
  }
  return held;
}

TEST_F(SolveGpusProperties, TheFewestAreThoseThatTryingEverySplitFinds) {
  constexpr int64_t kMost = 12;
  int several = 0;
  for (int round = 0; round < 40; ++round) {
    const ModelConfig model = AnyModel();
    const InferenceOptions options = AnyDevice(model);
    const WantedLoad wanted{.sequences = Between(1, 64), .context = Tokens(Between(1, 8192))};
    SCOPED_TRACE(model.name + ", " + std::to_string(options.device_bytes.value()) + " bytes");
    const auto held = TryingEverySplit(model, options, wanted.context, kMost);
    const auto first = std::find_if(held.begin(), held.end(), [&](const auto& count) {
      return count.second >= wanted.sequences;
    });
    const GpuSearch search = *FewestGpus(model, options, wanted, std::nullopt, kMost);
    ASSERT_EQ(search.holds, first != held.end());
    for (const GpuSplit& best : search.best) EXPECT_EQ(best.sequences, held.at(best.gpus));
    if (!search.holds) continue;
    EXPECT_EQ(search.best.back().gpus, first->first);
    several += first->first > 1 ? 1 : 0;
  }
  EXPECT_GT(several, 5) << "the dice should give answers of more than one GPU";
}

TEST_F(SolveGpusProperties, WantingMoreNeverTakesFewer) {
  for (int round = 0; round < 20; ++round) {
    const ModelConfig model = AnyModel();
    const InferenceOptions options = AnyDevice(model);
    int64_t last = 0;
    for (int64_t sequences = 1; sequences <= 64; sequences *= 4) {
      const GpuSearch search = *FewestGpus(
          model, options, {.sequences = sequences, .context = Tokens(4096)}, std::nullopt, 16);
      if (!search.holds) break;
      EXPECT_GE(search.best.back().gpus, last);
      last = search.best.back().gpus;
    }
  }
}

}  // namespace
}  // namespace plimsoll
