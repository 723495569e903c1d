#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using Scaling = RotaryConfig::Scaling;

RotaryConfig Rotary(const json& changes, const std::string& architecture = "LlamaForCausalLM") {
  const absl::StatusOr<ModelConfig> model = Parsed(Changed(SmallConfig(architecture), changes));
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? model->rotary : RotaryConfig{};
}

TEST(Rotary, WithoutFieldsItIsThePlainOne) {
  const RotaryConfig rotary = Rotary({});
  EXPECT_EQ(rotary.scaling, Scaling::kNone);
  EXPECT_EQ(rotary.theta, 10000.0);
  EXPECT_EQ(rotary.rotated_dims, 16);
  EXPECT_EQ(Rotary({{"rope_scaling", nullptr}, {"rope_theta", 500000}}).theta, 500000.0);
  EXPECT_EQ(
      Rotary({{"num_local_experts", 2}, {"num_experts_per_tok", 1}}, "MixtralForCausalLM").theta,
      1e6);
}

TEST(Rotary, APartIsRotatedWherePartialRotaryFactorSaysSo) {
  EXPECT_EQ(Rotary({{"partial_rotary_factor", 0.75}}, "Phi3ForCausalLM").rotated_dims, 12);
  EXPECT_THAT(Refusal(Parsed(Changed(SmallConfig(), {{"partial_rotary_factor", 0.2}}))),
              HasSubstr("an even number from 2 to head_dim=16"));
  EXPECT_THAT(Refusal(Parsed(Changed(SmallConfig(), {{"partial_rotary_factor", 1.5}}))),
              HasSubstr("partial_rotary_factor"));
}

TEST(Rotary, LinearAndDynamicHaveAFactorAndTheModelsContext) {
  const RotaryConfig linear = Rotary({{"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}});
  EXPECT_EQ(linear.scaling, Scaling::kLinear);
  EXPECT_EQ(linear.factor, 4.0);
  const RotaryConfig dynamic = Rotary({{"rope_scaling", {{"type", "dynamic"}, {"factor", 2}}}});
  EXPECT_EQ(dynamic.scaling, Scaling::kDynamic);
  EXPECT_EQ(dynamic.original_context, Tokens(256));
}

TEST(Rotary, Llama3HasItsFourNumbers) {
  const RotaryConfig rotary = Rotary({{"rope_scaling",
                                       {{"rope_type", "llama3"},
                                        {"factor", 8.0},
                                        {"low_freq_factor", 1.0},
                                        {"high_freq_factor", 4.0},
                                        {"original_max_position_embeddings", 64}}}});
  EXPECT_EQ(rotary.scaling, Scaling::kLlama3);
  EXPECT_EQ(rotary.factor, 8.0);
  EXPECT_EQ(rotary.low_freq_factor, 1.0);
  EXPECT_EQ(rotary.high_freq_factor, 4.0);
  EXPECT_EQ(rotary.original_context, Tokens(64));
}

TEST(Rotary, YarnsMagnitudeFollowsItsFactorUnlessGiven) {
  json scaling = {{"rope_type", "yarn"}, {"factor", 4.0}};
  EXPECT_DOUBLE_EQ(Rotary({{"rope_scaling", scaling}}).attention_factor, 0.1 * std::log(4.0) + 1.0);
  scaling["attention_factor"] = 0.5;
  EXPECT_EQ(Rotary({{"rope_scaling", scaling}}).attention_factor, 0.5);
  const json both = {{"type", "yarn"}, {"factor", 4.0}, {"mscale", 1.0}, {"mscale_all_dim", 1.0}};
  EXPECT_DOUBLE_EQ(Rotary({{"rope_scaling", both}}).attention_factor, 1.0);
}

TEST(Rotary, LongRopeHasAFactorForEachPair) {
  json scaling = {{"type", "longrope"},
                  {"short_factor", {1, 1, 1, 1, 1, 1, 1, 1}},
                  {"long_factor", {1, 2, 3, 4, 5, 6, 7, 8}}};
  const json changes = {{"rope_scaling", scaling}, {"original_max_position_embeddings", 64}};
  const RotaryConfig rotary = Rotary(changes, "Phi3ForCausalLM");
  EXPECT_EQ(rotary.scaling, Scaling::kLongRope);
  EXPECT_EQ(rotary.original_context, Tokens(64));
  EXPECT_THAT(rotary.long_factor, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_DOUBLE_EQ(rotary.attention_factor, std::sqrt(1 + std::log(4.0) / std::log(64.0)));
  scaling["long_factor"] = {1, 2};
  EXPECT_THAT(Refusal(Parsed(Changed(SmallConfig("Phi3ForCausalLM"), {{"rope_scaling", scaling}}))),
              HasSubstr("rope_scaling.long_factor=[...]: want one number for each of 8"));
}

TEST(Rotary, TheNewerRopeParametersHoldEverything) {
  const RotaryConfig rotary = Rotary(
      {{"rope_parameters", {{"rope_type", "linear"}, {"rope_theta", 7.0}, {"factor", 3.0}}}});
  EXPECT_EQ(rotary.theta, 7.0);
  EXPECT_EQ(rotary.scaling, Scaling::kLinear);
  const json two = {{"sliding_attention", {{"rope_theta", 1e4}}},
                    {"full_attention", {{"rope_theta", 1e6}, {"rope_type", "default"}}}};
  EXPECT_EQ(Rotary({{"rope_parameters", two}}, "Gemma2ForCausalLM").theta, 1e6);
}

TEST(Rotary, UnknownKindsAndMissingNumbersAreRefused) {
  const auto refusal = [](const json& scaling) {
    return Refusal(Parsed(Changed(SmallConfig(), {{"rope_scaling", scaling}})));
  };
  EXPECT_THAT(refusal({{"rope_type", "spiral"}}), HasSubstr("rope_scaling.rope_type=\"spiral\""));
  EXPECT_THAT(refusal({{"type", "linear"}}), HasSubstr("rope_scaling.factor: missing"));
  EXPECT_THAT(refusal({{"type", "linear"}, {"factor", -1}}), HasSubstr("rope_scaling.factor=-1"));
  EXPECT_THAT(refusal("yarn"), HasSubstr("rope_scaling=\"yarn\": want an object"));
}

}  // namespace
}  // namespace plimsoll
