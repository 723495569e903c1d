#include "kvcache/sizing/runtime_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll {
namespace {

using testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;

std::vector<std::string> TermsOf(const RuntimeEstimate& runtime) {
  std::vector<std::string> terms;
  for (const RuntimeLine& line : runtime.lines) terms.emplace_back(line.term);
  return terms;
}

// 8 MiB + 132 x 2048 x 1980 bytes, 32 MiB, and 13 graphs of 9 x 32 + 5 kernels of 10 KiB.
TEST(RuntimeBytes, OfAnH100AreEstimatedByTheFormula) {
  const RuntimeEstimate runtime = EstimateRuntime(*FindGpu("h100"), 32);
  EXPECT_EQ(runtime.bytes, Bytes(8 * kMiB + 132 * 2048 * 1980 + 32 * kMiB + 13 * 293 * 10240));
  EXPECT_THAT(runtime.formula, HasSubstr("estimated for h100-80gb: 543653888 context + "));
  EXPECT_EQ(TermsOf(runtime), (std::vector<std::string>{"context", "cublas", "graphs"}));
}

TEST(RuntimeBytes, OlderGpusHaveASmallerWorkspace) {
  const RuntimeEstimate a100 = EstimateRuntime(*FindGpu("a100"), 0);
  EXPECT_EQ(a100.bytes, Bytes(8 * kMiB + 108 * 2048 * 1980 + 4 * kMiB));
  EXPECT_EQ(TermsOf(a100), (std::vector<std::string>{"context", "cublas"}));
}

// Published contexts: 107 MiB on 34 multiprocessors, 426 on 142, 555 on 188.
TEST(RuntimeBytes, ContextsComeNearPublishedOnes) {
  const auto context = [](const char* name) {
    return static_cast<double>(EstimateRuntime(*FindGpu(name), 0).lines[0].bytes.value()) / kMiB;
  };
  EXPECT_NEAR(context("rtx4060ti"), 107, 5);
  EXPECT_NEAR(context("rtx6000ada"), 426, 10);
  EXPECT_NEAR(context("rtxpro6000"), 555, 5);
}

TEST(RuntimeBytes, SeveralGpusAddBuffersToTalk) {
  const GpuSpec h100 = *FindGpu("h100");
  const Bytes alone = EstimateRuntime(h100, 32).bytes;
  EXPECT_EQ(EstimateRuntime(h100, 32, 2).bytes, alone + Bytes(342 * kMiB));
  EXPECT_EQ(EstimateRuntime(h100, 32, 4).bytes, alone + Bytes(392 * kMiB));
  EXPECT_EQ(EstimateRuntime(h100, 32, 8).lines.back().term, "communication");
}

TEST(RuntimeBytes, LinesAddUpOnEveryGpu) {
  for (const GpuSpec& gpu : KnownGpus()) {
    for (const int64_t gpus : {1, 2, 8}) {
      const RuntimeEstimate runtime = EstimateRuntime(gpu, 80, gpus);
      Bytes sum(0);
      for (const RuntimeLine& line : runtime.lines) sum += line.bytes;
      EXPECT_EQ(runtime.bytes, sum) << gpu.name;
      EXPECT_LT(runtime.bytes, gpu.memory()) << gpu.name;
    }
  }
}

TEST(RuntimeBytes, EveryConstantHasASource) {
  for (const RuntimeConstant& constant : RuntimeConstants()) {
    EXPECT_GT(constant.value, 0) << constant.name;
    EXPECT_FALSE(constant.source.empty()) << constant.name;
  }
}

}  // namespace
}  // namespace plimsoll
