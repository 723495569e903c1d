#include "kvcache/sizing/gpu_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "kvcache/base/size_text.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

std::string Found(std::string_view name) {
  const absl::StatusOr<GpuSpec> gpu = FindGpu(name);
  return gpu.ok() ? std::string(gpu->name) : std::string(gpu.status().message());
}

TEST(GpuCatalogue, FamiliarNamesAreUnderstood) {
  EXPECT_EQ(Found("h100"), "h100-80gb");
  EXPECT_EQ(Found("H100-80GB"), "h100-80gb");
  EXPECT_EQ(Found("NVIDIA H100 80GB HBM3"), "h100-80gb");
  EXPECT_EQ(Found("H100 PCIe"), "h100-80gb");
  EXPECT_EQ(Found("NVIDIA H200"), "h200-141gb");
  EXPECT_EQ(Found("a100"), "a100-80gb");
  EXPECT_EQ(Found("NVIDIA A100-SXM4-40GB"), "a100-40gb");
  EXPECT_EQ(Found("a100_40gb"), "a100-40gb");
  EXPECT_EQ(Found("l4"), "l4-24gb");
  EXPECT_EQ(Found("L40S"), "l40s-48gb");
  EXPECT_EQ(Found("Tesla T4"), "t4-16gb");
  EXPECT_EQ(Found("NVIDIA GeForce RTX 4090"), "rtx4090-24gb");
  EXPECT_EQ(Found("4090"), "rtx4090-24gb");
  EXPECT_EQ(Found("NVIDIA RTX 6000 Ada Generation"), "rtx6000ada-48gb");
}

TEST(GpuCatalogue, AnUnknownNameIsRefusedWithTheNamesThatAreKnown) {
  for (const std::string name : {"", "h", "h100-40gb", "mi300x", "gb", "80gb", "rtx"}) {
    EXPECT_THAT(Found(name), HasSubstr("gpu=" + name + ": want one of h100-80gb, ")) << name;
  }
}

TEST(GpuCatalogue, EveryRowIsFoundByItsOwnNameAndSound) {
  std::set<std::string_view> names;
  for (const GpuSpec& gpu : KnownGpus()) {
    EXPECT_EQ(Found(gpu.name), gpu.name);
    EXPECT_TRUE(names.insert(gpu.name).second) << gpu.name;
    // The size in the name is the nominal one; what CUDA reports is a little less.
    const std::string nominal(gpu.name.substr(gpu.name.rfind('-') + 1));
    const Bytes most = *ParseSize(nominal.substr(0, nominal.size() - 2) + "GiB", "memory");
    EXPECT_GT(gpu.memory().value(), most.value() * 85 / 100) << gpu.name;
    EXPECT_LE(gpu.memory().value(), most.value()) << gpu.name;
  }
}

// 8 MiB + 132 x 2048 x 1980 bytes, 32 MiB, and 13 graphs of 9 x 32 + 5 kernels of 10 KiB.
TEST(GpuCatalogue, RuntimeOfAnH100IsEstimatedByTheFormula) {
  const RuntimeEstimate runtime = EstimateRuntime(*FindGpu("h100"), 32);
  EXPECT_EQ(runtime.bytes, Bytes((8 << 20) + 132 * 2048 * 1980 + (32 << 20) + 13 * 293 * 10240));
  EXPECT_THAT(runtime.formula, HasSubstr("estimated for h100-80gb"));
}

TEST(GpuCatalogue, OlderGpusHaveASmallerWorkspace) {
  const GpuSpec a100 = *FindGpu("a100");
  EXPECT_EQ(EstimateRuntime(a100, 0).bytes,
            Bytes((8 << 20) + 108 * 2048 * 1980 + (4 << 20) + 13 * 5 * 10240));
}

}  // namespace
}  // namespace plimsoll
