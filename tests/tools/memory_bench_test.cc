// What bench memory makes of a GPU's figures, over libraries that stand in for NVML.
#include "tools/bench/memory_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr int64_t kGibibyte = int64_t{1} << 30;
constexpr const char* kSlot = "0000:65:00.0";

std::string Fake(const std::string& name) { return PLIMSOLL_FAKE_MODULES "/lib" + name + ".so"; }

MemoryComparison OnGpu() {
  return {.model = "m",
          .device = "cuda",
          .stages = {{"context", Bytes(400'000'000), Bytes(500'000'000)},
                     {"pool", Bytes(kGibibyte), Bytes(kGibibyte)}},
          .note = {},
          .gpu_bytes = Bytes(80 * kGibibyte)};
}

TEST(MemoryBench, NvmlSaysWhatTheProcessHasBesideTheSumOfTheStages) {
  MemoryComparison comparison = OnGpu();
  AddGpuProcess(Fake("fake_nvml"), kSlot, comparison);
  ASSERT_EQ(comparison.stages.size(), 3u);
  EXPECT_EQ(comparison.stages.back().name, "process");
  EXPECT_EQ(comparison.stages.back().predicted, Bytes(400'000'000 + kGibibyte));
  EXPECT_EQ(comparison.stages.back().measured, Bytes(2 * kGibibyte));
  EXPECT_EQ(comparison.note, "");
}

TEST(MemoryBench, WithoutItTheReasonIsPrinted) {
  MemoryComparison comparison = OnGpu();
  AddGpuProcess("/nowhere/libnvidia-ml.so.1", kSlot, comparison);
  EXPECT_EQ(comparison.stages.size(), 2u);
  EXPECT_THAT(comparison.note, StartsWith("no NVML: /nowhere"));
  EXPECT_THAT(MemoryAsText(comparison), HasSubstr("no NVML: /nowhere"));
  EXPECT_THAT(MemoryAsJson(comparison), HasSubstr("\"note\": \"no NVML: /nowhere"));
  comparison = OnGpu();
  AddGpuProcess(Fake("fake_nvml_in_a_container"), kSlot, comparison);
  EXPECT_EQ(comparison.note,
            "NVML does not say what this process uses; on its GPU all together use 3 GiB");
}

// 100 MB of 80 GiB; without a GPU they would be a quarter of the stage.
TEST(MemoryBench, DifferencesOfAGpuAreSharesOfWhatItHas) {
  MemoryComparison comparison = OnGpu();
  EXPECT_NEAR(comparison.WorstDifference(), 100e6 / (80.0 * static_cast<double>(kGibibyte)), 1e-9);
  comparison.gpu_bytes = Bytes(0);
  EXPECT_DOUBLE_EQ(comparison.WorstDifference(), 0.25);
}

}  // namespace
}  // namespace plimsoll
