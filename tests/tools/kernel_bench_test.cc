// bench kernels on the CPU and on the emulator: every case is run, judged and timed.
#include "tools/bench/kernel_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/device/cuda_backend.h"
#include "tests/emulator/emulated_module.h"
#include "tools/bench/kernel_cases.h"

namespace plimsoll {
namespace {

void ExpectAllRight(const KernelBench& bench, size_t cases) {
  EXPECT_EQ(bench.results.size(), cases);
  EXPECT_GT(bench.bandwidth, 0);
  for (const KernelResult& result : bench.results) {
    EXPECT_TRUE(result.IsRight()) << result.kernel << " is off by " << result.distance;
    EXPECT_GT(result.distance, 0) << result.kernel << ": nothing was compared";
    EXPECT_GT(result.seconds, 0) << result.kernel;
    EXPECT_GT(result.bytes, 0) << result.kernel;
  }
}

TEST(KernelBench, EveryKernelOfTheCpuIsRight) {
  const absl::StatusOr<KernelBench> bench = MeasureKernels(CpuBackend(), {.small = true});
  ASSERT_TRUE(bench.ok()) << bench.status();
  ExpectAllRight(*bench, 3 * 2 + 4 + 1);
  EXPECT_EQ(bench->device, "cpu");
}

TEST(KernelBench, EveryKernelOfCudaIsRightAndHasAPeer) {
  const auto device = CreateCudaBackend(emulator::EmulatedModule(), /*device=*/0);
  ASSERT_TRUE(device.ok()) << device.status();
  const absl::StatusOr<KernelBench> bench = MeasureKernels(**device, {.small = true});
  ASSERT_TRUE(bench.ok()) << bench.status();
  ExpectAllRight(*bench, 3 * 2 + 4 + 1 + 2);
  EXPECT_GT(bench->flops, 0);
  for (const KernelResult& result : bench->results) EXPECT_GT(result.peer_seconds, 0);
  const nlohmann::json json = nlohmann::json::parse(KernelsAsJson(*bench));
  EXPECT_EQ(json["device"], "cuda, emulator");
  EXPECT_EQ(json["results"].size(), bench->results.size());
  EXPECT_THAT(KernelsAsText(*bench), testing::HasSubstr("linear int4 1024 -> 256"));
}

TEST(KernelBench, TheBoundIsWhatTakesLonger) {
  const KernelResult result{.kernel = "k", .seconds = 4, .bytes = 20, .flops = 300, .peer = {}};
  EXPECT_DOUBLE_EQ(ShareOfBound({.device = "x", .bandwidth = 10, .results = {}}, result), 0.5);
  EXPECT_DOUBLE_EQ(
      ShareOfBound({.device = "x", .bandwidth = 10, .flops = 100, .results = {}}, result), 0.75);
}

TEST(KernelBench, AWrongAnswerIsSeen) {
  EXPECT_EQ(DistanceFromRepeated({1, 2, 1, 2}, {1, 2}, 4, 2), 0);
  EXPECT_NEAR(DistanceFromRepeated({1, 2, 1, 3}, {1, 2}, 4, 2), 1 / std::sqrt(10), 1e-9);
  EXPECT_EQ(DistanceFromRepeated({1, NAN}, {1, 2}, 2, 2), INFINITY);
  KernelBench bench{.device = "x", .bandwidth = 1, .results = {{.kernel = "k", .peer = {}}}};
  bench.results[0].distance = 0.5;
  bench.results[0].tolerance = 0.1;
  EXPECT_THAT(KernelsAsText(bench), testing::HasSubstr("off by 5.0e-01"));
}

}  // namespace
}  // namespace plimsoll
