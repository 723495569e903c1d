// NVML over libraries that stand in for it.
#include "engine/device/nvml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace plimsoll {
namespace {

constexpr Bytes kGibibyte(1 << 30);
constexpr const char* kFirst = "0000:17:00.0";
constexpr const char* kSecond = "0000:65:00.0";

std::string Fake(const std::string& name) { return PLIMSOLL_FAKE_MODULES "/lib" + name + ".so"; }

TEST(Nvml, SaysWhatTheGpuHasAndWhatIsOurs) {
  for (int i = 0; i < 2; ++i) {  // opened and shut down each time
    const auto memory = ReadNvmlMemory(Fake("fake_nvml"), kSecond);
    ASSERT_TRUE(memory.ok()) << memory.status();
    EXPECT_EQ(memory->total, 80 * kGibibyte);
    EXPECT_EQ(memory->reserved, Bytes(1 << 29));
    EXPECT_EQ(memory->used, 3 * kGibibyte);
    EXPECT_EQ(memory->process, 2 * kGibibyte);
  }
}

// The GPU that CUDA uses need not be the library's first.
TEST(Nvml, TheGpuIsTheOneInTheSlot) {
  const auto memory = ReadNvmlMemory(Fake("fake_nvml"), kFirst);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->total, 24 * kGibibyte);
  EXPECT_EQ(memory->process, std::nullopt);
}

TEST(Nvml, WhatTheDriverDoesNotSayOfAProcessIsNotKnown) {
  const auto memory = ReadNvmlMemory(Fake("fake_nvml_in_a_container"), kSecond);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->process, std::nullopt);
}

TEST(Nvml, ACallThatFailsIsNamed) {
  EXPECT_EQ(ReadNvmlMemory(Fake("fake_nvml"), "0000:99:00.0").status(),
            absl::InternalError("nvmlDeviceGetHandleByPciBusId_v2 (6)"));
}

TEST(Nvml, WithoutALibraryOrWithAnotherItSaysSo) {
  const absl::Status none = ReadNvmlMemory("/nowhere/libnvidia-ml.so.1", kFirst).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(none.message()), testing::StartsWith("no NVML: /nowhere/"));
  const std::string foreign = Fake("foreign_module");
  EXPECT_EQ(ReadNvmlMemory(foreign, kFirst).status(),
            absl::FailedPreconditionError("no NVML: " + foreign + " lacks a function"));
}

TEST(Nvml, TheEnvironmentNamesTheLibrary) {
  EXPECT_EQ(NvmlLibrary(), "libnvidia-ml.so.1");
  setenv("PLIMSOLL_NVML", "/elsewhere", 1);
  EXPECT_EQ(NvmlLibrary(), "/elsewhere");
  unsetenv("PLIMSOLL_NVML");
}

}  // namespace
}  // namespace plimsoll
