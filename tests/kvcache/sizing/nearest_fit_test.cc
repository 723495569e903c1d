#include "kvcache/sizing/nearest_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::StartsWith;

constexpr int64_t kGiB = int64_t{1} << 30;

std::vector<std::string> Settings(const ModelConfig& model, const InferenceOptions& options) {
  std::vector<std::string> settings;
  for (const FitSetting& fit : NearestFits(model, options)) settings.push_back(fit.setting);
  return settings;
}

TEST(NearestFit, NarrowerWeightsAreOfferedWidestFirst) {
  const std::vector<std::string> at16 = Settings(Llama31(), {.device_bytes = Bytes(16 * kGiB)});
  EXPECT_EQ(at16.front(), "--weights int8");
  const std::vector<std::string> at10 = Settings(Llama31(), {.device_bytes = Bytes(10 * kGiB)});
  EXPECT_EQ(at10.front(), "--weights int4");
}

TEST(NearestFit, ASmallerStepIsOfferedWhereItIsEnough) {
  const std::vector<std::string> settings = Settings(Llama31(), {.device_bytes = Bytes(17 * kGiB)});
  EXPECT_EQ(settings.front(), "--max-batched-tokens 512");
}

TEST(NearestFit, BothTogetherWhereNeitherAloneIsEnough) {
  const std::vector<std::string> settings =
      Settings(Llama31(), {.device_bytes = Bytes(13 * kGiB / 2)});
  EXPECT_EQ(settings.front(), "--weights int4 --max-batched-tokens 512");
}

TEST(NearestFit, NothingButMemoryHelpsATinyDevice) {
  const std::vector<std::string> settings = Settings(Llama31(), {.device_bytes = Bytes(kGiB)});
  ASSERT_EQ(settings.size(), 1U);
  EXPECT_THAT(settings[0], StartsWith("--memory "));
}

TEST(NearestFit, TheMemoryItNamesIsTheLeastThatFits) {
  for (const double utilization : {0.5, 0.92, 1.0}) {
    InferenceOptions options{.device_bytes = Bytes(kGiB), .utilization = utilization};
    const std::string setting = Settings(Llama31(), options).back();
    const Bytes memory(std::stoll(setting.substr(std::string("--memory ").size())));
    options.device_bytes = memory;
    EXPECT_TRUE(PlanInference(Llama31(), options)->fits());
    EXPECT_EQ(PlanInference(Llama31(), options)->blocks, Blocks(1));
    options.device_bytes = memory - Bytes(1);
    EXPECT_FALSE(PlanInference(Llama31(), options)->fits());
  }
}

TEST(NearestFit, NarrowerKAndVHelpWhereLessThanABlockIsMissing) {
  InferenceOptions options{.device_bytes = Bytes(kGiB), .utilization = 1.0};
  const InferencePlan plan = *PlanInference(Llama31(), options);
  options.device_bytes = plan.budget_bytes + plan.shortfall_bytes - Bytes(1);
  const std::vector<std::string> settings = Settings(Llama31(), options);
  EXPECT_NE(std::find(settings.begin(), settings.end(), "--kv int8"), settings.end());
}

}  // namespace
}  // namespace plimsoll
