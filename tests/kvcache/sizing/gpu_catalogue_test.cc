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
  EXPECT_EQ(Found("H100 PCIe"), "h100pcie-80gb");
  EXPECT_EQ(Found("NVIDIA H100 NVL"), "h100-94gb");
  EXPECT_EQ(Found("NVIDIA H200"), "h200-141gb");
  EXPECT_EQ(Found("NVIDIA GH200 480GB"), "gh200-96gb");
  EXPECT_EQ(Found("NVIDIA B300 SXM6 AC"), "b300-288gb");
  EXPECT_EQ(Found("a100"), "a100-80gb");
  EXPECT_EQ(Found("NVIDIA A100-SXM4-40GB"), "a100-40gb");
  EXPECT_EQ(Found("NVIDIA A100 80GB PCIe"), "a100-80gb");
  EXPECT_EQ(Found("a100_40gb"), "a100-40gb");
  EXPECT_EQ(Found("NVIDIA A10G"), "a10g-24gb");
  EXPECT_EQ(Found("l4"), "l4-24gb");
  EXPECT_EQ(Found("L40S"), "l40s-48gb");
  EXPECT_EQ(Found("Tesla T4"), "t4-16gb");
  EXPECT_EQ(Found("Tesla V100-SXM2-16GB"), "v100-16gb");
  EXPECT_EQ(Found("NVIDIA GeForce RTX 4090"), "rtx4090-24gb");
  EXPECT_EQ(Found("4090"), "rtx4090-24gb");
  EXPECT_EQ(Found("NVIDIA GeForce RTX 5070 Ti"), "rtx5070ti-16gb");
  EXPECT_EQ(Found("NVIDIA RTX 6000 Ada Generation"), "rtx6000ada-48gb");
  EXPECT_EQ(Found("NVIDIA RTX A6000"), "rtxa6000-48gb");
  EXPECT_EQ(Found("A6000"), "rtxa6000-48gb");
  EXPECT_EQ(Found("NVIDIA RTX PRO 6000 Blackwell Workstation Edition"), "rtxpro6000-96gb");
  EXPECT_EQ(Found("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition"), "rtxpro6000-96gb");
  EXPECT_EQ(Found("DGX Spark"), "gb10-128gb");
  EXPECT_EQ(Found("Jetson Thor"), "thor-128gb");
  EXPECT_EQ(Found("AMD Instinct MI300X"), "mi300x-192gb");
  EXPECT_EQ(Found("MI250"), "mi250x-64gb");
}

TEST(GpuCatalogue, AnUnknownNameIsRefusedWithNamesLikeIt) {
  for (const std::string name : {"", "h", "h100-40gb", "mi450", "gb", "80gb", "rtx", "pcie"}) {
    EXPECT_THAT(Found(name),
                HasSubstr("gpu=" + name + ": want one of the 67 that are known, such as "))
        << name;
  }
  EXPECT_THAT(Found("h9000"), HasSubstr("such as h100-80gb, h100pcie-80gb, h100-94gb"));
  EXPECT_THAT(Found("rtx4070xt"), HasSubstr("such as rtx4070tisuper-16gb, rtx4070-12gb"));
  EXPECT_THAT(Found("xyz"), HasSubstr("such as h100-80gb, h100pcie-80gb, h100-94gb"));
}

TEST(GpuCatalogue, EveryRowIsFoundByItsOwnNameAndSound) {
  EXPECT_GE(KnownGpus().size(), 40U);
  std::set<std::string_view> names;
  for (const GpuSpec& gpu : KnownGpus()) {
    EXPECT_EQ(Found(gpu.name), gpu.name);
    EXPECT_TRUE(names.insert(gpu.name).second) << gpu.name;
    // The size in the name is the nominal one; what the runtime reports is a little less.
    const std::string nominal(gpu.name.substr(gpu.name.rfind('-') + 1));
    const Bytes most = *ParseSize(nominal.substr(0, nominal.size() - 2) + "GiB", "memory");
    EXPECT_GT(gpu.memory().value(), most.value() * 85 / 100) << gpu.name;
    EXPECT_LE(gpu.memory().value(), most.value()) << gpu.name;
    EXPECT_GE(gpu.bandwidth, 100) << gpu.name;
    EXPECT_LE(gpu.bandwidth, 8000) << gpu.name;
    EXPECT_GE(gpu.multiprocessors, 8) << gpu.name;
    EXPECT_LE(gpu.multiprocessors, 304) << gpu.name;
  }
}

// A short name for several sizes of a model means the same one wherever it is asked for.
TEST(GpuCatalogue, AModelsNameAloneMeansItsFirstRow) {
  std::set<std::string> seen;
  for (const GpuSpec& gpu : KnownGpus()) {
    const std::string model(gpu.name.substr(0, gpu.name.rfind('-')));
    if (!seen.insert(model).second) continue;
    EXPECT_EQ(Found(model), gpu.name);
  }
}

TEST(GpuCatalogue, EveryFigureSaysWhetherItWasMeasured) {
  EXPECT_EQ(MarkOf(FindGpu("h100")->source), "measured");
  EXPECT_EQ(MarkOf(FindGpu("a100-40gb")->source), "measured");
  EXPECT_EQ(MarkOf(FindGpu("a800")->source), "estimated");
  for (const GpuSpec& gpu : KnownGpus()) EXPECT_FALSE(TextOf(gpu.source).empty());
}

}  // namespace
}  // namespace plimsoll
