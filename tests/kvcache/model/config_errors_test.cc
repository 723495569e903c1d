// Every way in which a config.json can be wrong: refused in one line that names file, field (or
// architecture) and value, never read as a wrong number.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string RefusalOf(const json& changes, const std::string& architecture = "LlamaForCausalLM") {
  return Refusal(Parsed(Changed(SmallConfig(architecture), changes)));
}

// For values that only text can hold.
std::string RefusalOfText(std::string text, const std::string& find, const std::string& replace) {
  const size_t at = text.find(find);
  EXPECT_NE(at, std::string::npos) << find;
  return Refusal(ParseModelConfig(text.replace(at, find.size(), replace), "test"));
}

TEST(ConfigErrors, TheSmallConfigurationIsSound) { EXPECT_EQ(RefusalOf({}), "accepted"); }

TEST(ConfigErrors, AnUnknownArchitectureIsRefusedByName) {
  const std::string message = RefusalOf({{"architectures", {"NoSuchForCausalLM"}}});
  EXPECT_EQ(message, "test: unknown architecture NoSuchForCausalLM");
  EXPECT_THAT(RefusalOf({{"architectures", "absent"}}), HasSubstr("architectures: missing"));
  EXPECT_THAT(RefusalOf({{"architectures", json::array()}}), HasSubstr("architectures=[...]"));
  EXPECT_THAT(RefusalOf({{"architectures", {"A", "B"}}}), HasSubstr("a list of one name"));
  EXPECT_THAT(RefusalOf({{"architectures", "LlamaForCausalLM"}}), HasSubstr("a list of strings"));
  EXPECT_THAT(RefusalOf({{"architectures", {5}}}), HasSubstr("architectures=5"));
  EXPECT_EQ(RefusalOf({{"architectures", {"Evil\nName"}}}), "test: unknown architecture Evil?Name");
}

TEST(ConfigErrors, EveryNeededFieldIsMissedByName) {
  for (const char* const field : {"hidden_size", "intermediate_size", "num_hidden_layers",
                                  "num_attention_heads", "vocab_size", "max_position_embeddings"}) {
    EXPECT_THAT(RefusalOf({{field, "absent"}}), HasSubstr(std::string(field) + ": missing"));
    EXPECT_THAT(RefusalOf({{field, nullptr}}), HasSubstr(std::string(field) + ": missing"));
  }
}

TEST(ConfigErrors, WhatIsNoCountIsRefusedWithItsValue) {
  for (const char* const field :
       {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings"}) {
    for (const json& value :
         {json(0), json(-1), json(4096.0), json(0.5), json(true), json("32"), json::array({1}),
          json::object(), json(INT64_MAX), json(UINT64_MAX), json(1.8446744073709552e19)}) {
      const std::string message = RefusalOf({{field, value}});
      EXPECT_THAT(message, AllOf(StartsWith("test: "), HasSubstr(std::string(field) + "="),
                                 HasSubstr("want a whole number from 1 to")))
          << value;
    }
  }
}

TEST(ConfigErrors, AMillionLayersIsRefused) {
  EXPECT_EQ(RefusalOf({{"num_hidden_layers", 1'000'000}}),
            "test: num_hidden_layers=1000000: want a whole number from 1 to 100000");
}

TEST(ConfigErrors, TwoToThe64IsRefusedNotRounded) {
  EXPECT_THAT(RefusalOfText(SmallConfig().dump(), "\"vocab_size\":100",
                            "\"vocab_size\":18446744073709551616"),
              HasSubstr("vocab_size=1.8446744073709552e+19"));
}

TEST(ConfigErrors, ADuplicateFieldIsRefusedByName) {
  EXPECT_EQ(RefusalOfText(SmallConfig().dump(), "\"vocab_size\":100",
                          "\"vocab_size\":100,\"vocab_size\":200"),
            "test: duplicate key \"vocab_size\"");
}

TEST(ConfigErrors, ABareInfinityIsAcceptedOnlyWhereNobodyNeedsTheField) {
  const std::string text = SmallConfig().dump();
  EXPECT_EQ(RefusalOfText(text, "\"vocab_size\":100",
                          "\"vocab_size\":100,\"time_step_limit\":[0.0,Infinity]"),
            "accepted");
  EXPECT_THAT(RefusalOfText(text, "\"vocab_size\":100", "\"vocab_size\":Infinity"),
              HasSubstr("vocab_size=\"Infinity\": want a whole number"));
  EXPECT_THAT(RefusalOfText(text, "\"vocab_size\":100", "\"vocab_size\":100,\"rope_theta\":NaN"),
              HasSubstr("rope_theta=\"NaN\": want a number above 0"));
}

TEST(ConfigErrors, TextThatIsNoObjectIsRefused) {
  EXPECT_THAT(Refusal(ParseModelConfig("", "test")), HasSubstr("test: not JSON at line 1"));
  EXPECT_THAT(Refusal(ParseModelConfig("<html>", "test")), HasSubstr("test: not JSON at line 1"));
  EXPECT_EQ(Refusal(ParseModelConfig("[]", "test")), "test: not a JSON object");
  EXPECT_EQ(Refusal(ParseModelConfig("7", "test")), "test: not a JSON object");
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_EQ(Refusal(ParseModelConfig(deep, "test")), "test: nested deeper than 64");
}

TEST(ConfigErrors, EveryTruncationIsRefused) {
  const std::string text = SmallConfig().dump();
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_NE(Refusal(ParseModelConfig(text.substr(0, length), "test")), "accepted") << length;
  }
}

TEST(ConfigErrors, ContradictionsAreRefused) {
  EXPECT_THAT(RefusalOf({{"num_key_value_heads", 3}}),
              HasSubstr("num_key_value_heads=3: want a divisor of num_attention_heads=4"));
  EXPECT_THAT(RefusalOf({{"num_key_value_heads", 8}}), HasSubstr("num_key_value_heads=8"));
  EXPECT_THAT(RefusalOf({{"hidden_size", 66}}),
              HasSubstr("hidden_size=66: want a multiple of num_attention_heads=4"));
  EXPECT_THAT(RefusalOf({{"head_dim", 15}}), HasSubstr("an even number"));
  EXPECT_THAT(RefusalOf({{"layer_types", {"full_attention"}}}, "Gemma2ForCausalLM"),
              HasSubstr("one entry for each of num_hidden_layers=2"));
  EXPECT_THAT(RefusalOf({{"layer_types", {"full_attention", "linear"}}}, "Gemma2ForCausalLM"),
              HasSubstr("layer_types=linear"));
  EXPECT_THAT(
      RefusalOf({{"num_local_experts", 4}, {"num_experts_per_tok", 5}}, "MixtralForCausalLM"),
      HasSubstr("num_experts_per_tok=5: want a whole number from 1 to 4"));
}

TEST(ConfigErrors, FieldsOfOtherKindsAreCheckedToo) {
  EXPECT_THAT(RefusalOf({{"torch_dtype", "int4"}}), HasSubstr("torch_dtype=\"int4\""));
  EXPECT_THAT(RefusalOf({{"torch_dtype", 16}}), HasSubstr("torch_dtype=16: want a string"));
  EXPECT_THAT(RefusalOf({{"tie_word_embeddings", 1}}),
              HasSubstr("tie_word_embeddings=1: want true or false"));
  EXPECT_THAT(RefusalOf({{"attention_bias", "no"}}), HasSubstr("attention_bias=\"no\""));
  EXPECT_THAT(RefusalOf({{"hidden_act", "relu6"}}), HasSubstr("hidden_act=\"relu6\""));
  EXPECT_THAT(RefusalOf({{"rms_norm_eps", 0}}), HasSubstr("rms_norm_eps=0: want a number above 0"));
  EXPECT_THAT(RefusalOf({{"eos_token_id", -2}}), HasSubstr("eos_token_id=-2"));
  EXPECT_THAT(RefusalOf({{"quantization_config", 8}}),
              HasSubstr("quantization_config=8: want an object"));
}

TEST(ConfigErrors, FieldsWithinBoundsWhoseProductIsNotAreRefused) {
  const std::string message = RefusalOf(
      {{"num_hidden_layers", 100'000}, {"hidden_size", 1 << 22}, {"intermediate_size", 1 << 22}});
  EXPECT_THAT(message, HasSubstr("parameters=more than 2^50"));
  EXPECT_THAT(RefusalOf({{"num_hidden_layers", 10'000},
                         {"num_attention_heads", 1 << 12},
                         {"num_key_value_heads", 1 << 12},
                         {"head_dim", 1 << 10},
                         {"hidden_size", 1}}),
              HasSubstr("K and V elements per token"));
}

// The largest of everything, together and with experts: refused, not wrapped.
TEST(ConfigErrors, TheLargestFieldsTogetherDoNotOverflow) {
  const json changes = {{"num_hidden_layers", 100'000},
                        {"hidden_size", 1 << 22},
                        {"intermediate_size", 1 << 22},
                        {"moe_intermediate_size", 1 << 22},
                        {"num_experts", 1 << 14},
                        {"num_experts_per_tok", 1 << 14},
                        {"num_attention_heads", 1 << 14},
                        {"num_key_value_heads", 1 << 14},
                        {"head_dim", 1 << 14},
                        {"vocab_size", 1 << 24},
                        {"max_position_embeddings", int64_t{1} << 32}};
  EXPECT_THAT(RefusalOf(changes, "Qwen3MoeForCausalLM"), HasSubstr("parameters=more than 2^50"));
}

}  // namespace
}  // namespace plimsoll
