#include "kvcache/sizing/capacity_curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;

constexpr int64_t kGiB = int64_t{1} << 30;

std::vector<std::string> Settings(const ModelConfig& model, const InferenceOptions& options) {
  std::vector<std::string> settings;
  const std::vector<CapacityCurve> curves = *CapacityCurves(model, options);
  for (const CapacityCurve& curve : curves) {
    settings.push_back(curve.setting);
  }
  return settings;
}

TEST(CapacityCurve, HasThePlanAsGivenAndTheNarrowerTypes) {
  EXPECT_THAT(Settings(Llama31(), {.device_bytes = Bytes(80 * kGiB)}),
              ElementsAre("as given", "--weights int8", "--weights int4", "--kv fp8", "--kv int8",
                          "--kv int4"));
}

TEST(CapacityCurve, LeavesOutTypesThatAreNoNarrowerThanGiven) {
  EXPECT_THAT(Settings(Llama31(), {.device_bytes = Bytes(80 * kGiB),
                                   .weights = ElementType::kInt8,
                                   .kv = ElementType::kFp8}),
              ElementsAre("as given", "--weights int4", "--kv int4"));
}

TEST(CapacityCurve, TheFirstCurveIsThePlansOwnTable) {
  const InferenceOptions options{.device_bytes = Bytes(80 * kGiB),
                                 .contexts = {Tokens(8192), Tokens(100)}};
  const CapacityCurve curve = CapacityCurves(Llama31(), options)->front();
  const InferencePlan plan = *PlanInference(Llama31(), options);
  ASSERT_EQ(curve.points.size(), 2U);
  EXPECT_EQ(curve.points[0].context, Tokens(100));
  EXPECT_EQ(curve.points[0].sequences, plan.max_sequences[1].sequences);
  EXPECT_EQ(curve.points[1].sequences, plan.max_sequences[0].sequences);
}

TEST(CapacityCurve, NarrowerTypesHoldMoreAndNoCurveRises) {
  const std::vector<CapacityCurve> curves =
      *CapacityCurves(Llama31(), {.device_bytes = Bytes(80 * kGiB)});
  for (const CapacityCurve& curve : curves) {
    for (size_t i = 0; i < curve.points.size(); ++i) {
      EXPECT_GE(curve.points[i].sequences, curves[0].points[i].sequences) << curve.setting;
      EXPECT_TRUE(i == 0 || curve.points[i].sequences <= curve.points[i - 1].sequences);
    }
  }
}

TEST(CapacityCurve, ASettingThatDoesNotFitIsACurveOfZeros) {
  const std::vector<CapacityCurve> curves =
      *CapacityCurves(Llama31(), {.device_bytes = Bytes(12 * kGiB)});
  for (const ContextCapacity& point : curves[0].points) EXPECT_EQ(point.sequences, 0);
  EXPECT_GT(curves[2].points[0].sequences, 0) << curves[2].setting;
}

TEST(CapacityCurve, ARecurrentModelHasNoCurvesOfKAndV) {
  for (const std::string& setting : Settings(OtherModelNamed("state-spaces/mamba-2.8b-hf"),
                                             {.device_bytes = Bytes(80 * kGiB)})) {
    EXPECT_EQ(setting.find("--kv"), std::string::npos);
  }
}

TEST(CapacityCurve, BadOptionsAreRefused) {
  EXPECT_TRUE(
      absl::IsInvalidArgument(CapacityCurves(Llama31(), {.device_bytes = Bytes(0)}).status()));
}

}  // namespace
}  // namespace plimsoll
