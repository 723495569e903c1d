#include "kvcache/sizing/nearest_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::AnyOf;
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

TEST(NearestFit, TheLargestOfTheSmallerStepsIsOfferedWhereOneIsEnough) {
  InferenceOptions options{.device_bytes = Bytes(17 * kGiB)};
  EXPECT_EQ(Settings(Llama31(), options).front(), "--max-batched-tokens 2048");
  options.max_batched_tokens = Tokens(4096);
  EXPECT_FALSE(PlanInference(Llama31(), options)->fits());
  options.max_batched_tokens = Tokens(2048);
  EXPECT_TRUE(PlanInference(Llama31(), options)->fits());
}

TEST(NearestFit, WhereOnlyTheLoadIsTooMuchItNamesALesserOne) {
  const InferenceOptions options{.device_bytes = Bytes(24 * kGiB)};
  const WantedLoad wanted{.sequences = 4, .context = Tokens(16384)};
  std::map<std::string, std::string> values;
  for (const FitSetting& fit : NearestFits(Llama31(), options, wanted)) {
    const size_t space = fit.setting.rfind(' ');
    values[fit.setting.substr(0, space)] = fit.setting.substr(space + 1);
  }
  const int64_t context = std::stoll(values.at("--context"));
  const int64_t sequences = std::stoll(values.at("--sequences"));
  EXPECT_GE(*SequencesHeld(Llama31(), options, Tokens(context)), 4);
  EXPECT_LT(*SequencesHeld(Llama31(), options, Tokens(context + 1)), 4);
  EXPECT_EQ(*SequencesHeld(Llama31(), options, wanted.context), sequences);
  EXPECT_EQ(values.at("--kv"), "int8");
  EXPECT_EQ(values.at("--weights"), "int8");
  EXPECT_EQ(values.at("--tensor-parallel"), "2");
  InferenceOptions larger = options;
  larger.device_bytes = Bytes(std::stoll(values.at("--memory")));
  EXPECT_EQ(*SequencesHeld(Llama31(), larger, wanted.context), 4);
  larger.device_bytes -= Bytes(1);
  EXPECT_EQ(*SequencesHeld(Llama31(), larger, wanted.context), 3);
}

TEST(NearestFit, BothTogetherWhereNeitherAloneIsEnough) {
  const std::vector<std::string> settings =
      Settings(Llama31(), {.device_bytes = Bytes(13 * kGiB / 2)});
  EXPECT_EQ(settings.front(), "--weights int4 --max-batched-tokens 512");
}

TEST(NearestFit, OnlyMoreDevicesOrMemoryHelpATinyDevice) {
  const std::vector<std::string> settings = Settings(Llama31(), {.device_bytes = Bytes(kGiB)});
  EXPECT_THAT(settings.front(), AnyOf(StartsWith("--memory "), StartsWith("--tensor-parallel ")));
  EXPECT_THAT(settings.back(), StartsWith("--memory "));
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
