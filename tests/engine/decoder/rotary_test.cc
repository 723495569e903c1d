#include "engine/decoder/rotary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

namespace plimsoll {
namespace {

using Scaling = RotaryConfig::Scaling;
using testing::DoubleNear;
using testing::ElementsAre;

constexpr double kTurn = 2 * std::numbers::pi;

TEST(Rotary, WithoutScalingFrequenciesFallByAConstantFactor) {
  // 10000^(-2i/8): 1, 1/10, 1/100, 1/1000.
  const RotaryConfig config{.theta = 10000, .rotated_dims = 8};
  EXPECT_THAT(RotaryFrequencies(config, Tokens(1)),
              ElementsAre(DoubleNear(1, 1e-15), DoubleNear(0.1, 1e-15), DoubleNear(0.01, 1e-15),
                          DoubleNear(0.001, 1e-15)));
}

TEST(Rotary, TheTableHoldsCosineAndSineOfPositionTimesFrequency) {
  const RotaryConfig config{.theta = 100, .rotated_dims = 4};  // frequencies 1 and 1/10
  const RotaryTable table = RotaryTableFor(config, Tokens(3));
  ASSERT_EQ(table.cos.size(), 6u);
  EXPECT_THAT(table.cos, ElementsAre(1, 1, float(std::cos(1.0)), float(std::cos(0.1)),
                                     float(std::cos(2.0)), float(std::cos(0.2))));
  EXPECT_THAT(table.sin, ElementsAre(0, 0, float(std::sin(1.0)), float(std::sin(0.1)),
                                     float(std::sin(2.0)), float(std::sin(0.2))));
}

TEST(Rotary, LinearSlowsEveryPair) {
  const RotaryConfig config{
      .theta = 100, .rotated_dims = 4, .scaling = Scaling::kLinear, .factor = 4};
  EXPECT_THAT(RotaryFrequencies(config, Tokens(1)),
              ElementsAre(DoubleNear(0.25, 1e-15), DoubleNear(0.025, 1e-15)));
}

TEST(Rotary, DynamicChangesNothingWithinTheOriginalContext) {
  const RotaryConfig config{.theta = 100,
                            .rotated_dims = 4,
                            .scaling = Scaling::kDynamic,
                            .factor = 2,
                            .original_context = Tokens(8)};
  EXPECT_THAT(RotaryFrequencies(config, Tokens(8)), ElementsAre(1, DoubleNear(0.1, 1e-15)));
  // At 16 tokens theta is 100 * (2 * 16/8 - 1)^(4/2) = 900, and the second pair turns 1/30.
  EXPECT_THAT(RotaryFrequencies(config, Tokens(16)), ElementsAre(1, DoubleNear(1.0 / 30, 1e-15)));
}

TEST(Rotary, DynamicRotatesEachPositionAsInASequenceThatEndsThere) {
  const RotaryConfig config{.theta = 100,
                            .rotated_dims = 4,
                            .scaling = Scaling::kDynamic,
                            .factor = 2,
                            .original_context = Tokens(8)};
  const RotaryTable table = RotaryTableFor(config, Tokens(16));
  EXPECT_EQ(table.sin[7 * 2 + 1], float(std::sin(0.7)));         // length 8
  EXPECT_FLOAT_EQ(table.sin[15 * 2 + 1], float(std::sin(0.5)));  // length 16: 15/30
}

// One pair of each kind: context 1000, theta 10^6 over 12 dims gives 1, 0.1, ... 1e-5, so that pair
// i turns 159.2 / 10^i times: 159, 15.9, 1.59, 0.159, ...
TEST(Rotary, Llama3KeepsFastPairsSlowsSlowOnesAndBlendsBetween) {
  const RotaryConfig config{.theta = 1e6,
                            .rotated_dims = 12,
                            .scaling = Scaling::kLlama3,
                            .factor = 8,
                            .low_freq_factor = 1,
                            .high_freq_factor = 4,
                            .original_context = Tokens(1000)};
  const std::vector<double> got = RotaryFrequencies(config, Tokens(1));
  EXPECT_DOUBLE_EQ(got[0], 1);
  EXPECT_NEAR(got[1], 0.1, 1e-15);
  const double keep = (10 / kTurn - 1) / 3;  // pair 2 turns 10 / 2pi = 1.59 times
  EXPECT_NEAR(got[2], 0.01 * ((1 - keep) / 8 + keep), 1e-15);
  EXPECT_NEAR(got[3], 0.001 / 8, 1e-15);
  EXPECT_NEAR(got[5], 1e-5 / 8, 1e-15);
}

// The same pairs: pair i turns n times at i = log10(159.2 / n), so beta_fast 32 is at pair 0.70 and
// beta_slow 1 at pair 2.20. Rounded outwards, the ramp goes from pair 0 to pair 3.
TEST(Rotary, YarnRampsFromFastPairsToSlowOnes) {
  const RotaryConfig config{.theta = 1e6,
                            .rotated_dims = 12,
                            .scaling = Scaling::kYarn,
                            .factor = 4,
                            .attention_factor = 1.5,
                            .beta_fast = 32,
                            .beta_slow = 1,
                            .original_context = Tokens(1000)};
  const std::vector<double> got = RotaryFrequencies(config, Tokens(1));
  EXPECT_DOUBLE_EQ(got[0], 1);
  EXPECT_NEAR(got[1], 0.1 * (2.0 / 3 + 1.0 / 3 / 4), 1e-15);
  EXPECT_NEAR(got[2], 0.01 * (1.0 / 3 + 2.0 / 3 / 4), 1e-15);
  EXPECT_NEAR(got[3], 0.001 / 4, 1e-15);
  EXPECT_NEAR(got[4], 1e-4 / 4, 1e-15);
  EXPECT_EQ(RotaryTableFor(config, Tokens(1)).cos[0], 1.5f);
}

TEST(Rotary, YarnWithAllPairsAlikeStepsInsteadOfRamping) {
  const RotaryConfig config{.theta = 100,
                            .rotated_dims = 4,
                            .scaling = Scaling::kYarn,
                            .factor = 4,
                            .original_context = Tokens(2)};  // no pair turns even once
  EXPECT_THAT(RotaryFrequencies(config, Tokens(1)), ElementsAre(1, DoubleNear(0.025, 1e-15)));
}

TEST(Rotary, LongRopeDividesByOneListThenByTheOther) {
  const RotaryConfig config{.theta = 100,
                            .rotated_dims = 4,
                            .scaling = Scaling::kLongRope,
                            .attention_factor = 2,
                            .original_context = Tokens(8),
                            .short_factor = {1, 2},
                            .long_factor = {4, 5}};
  EXPECT_THAT(RotaryFrequencies(config, Tokens(8)), ElementsAre(1, DoubleNear(0.05, 1e-15)));
  EXPECT_THAT(RotaryFrequencies(config, Tokens(9)), ElementsAre(0.25, DoubleNear(0.02, 1e-15)));
  const RotaryTable table = RotaryTableFor(config, Tokens(9));
  EXPECT_FLOAT_EQ(table.cos[7 * 2], float(2 * std::cos(7.0)));
  EXPECT_FLOAT_EQ(table.cos[8 * 2], float(2 * std::cos(2.0)));
}

}  // namespace
}  // namespace plimsoll
