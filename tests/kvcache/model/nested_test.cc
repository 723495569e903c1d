// Language models inside the files of models that also see and hear.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kArchitecture = "Qwen3VLForConditionalGeneration";

json Nested(const json& outer = json::object()) {
  const json text =
      Changed(SmallConfig(), {{"architectures", "absent"}, {"torch_dtype", "absent"}});
  return Changed({{"architectures", {kArchitecture}},
                  {"text_config", text},
                  {"torch_dtype", "float16"},
                  {"vision_config", {{"depth", 3}}}},
                 outer);
}

TEST(Nested, TheLanguageModelIsTheOneInside) {
  const auto nested = Parsed(Nested());
  ASSERT_TRUE(nested.ok()) << nested.status().message();
  const auto alone = Parsed(SmallConfig("Qwen3ForCausalLM"));
  EXPECT_EQ(nested->Parameters(), alone->Parameters());
  EXPECT_EQ(nested->architecture, kArchitecture);
  EXPECT_EQ(nested->dtype, ElementType::kFp16);
  EXPECT_EQ(nested->tensors[0].name, "model.language_model.embed_tokens.weight");
}

TEST(Nested, WhatStandsBesideItIsNamed) {
  const auto both = Parsed(Nested({{"audio_config", {{"depth", 3}}}}));
  ASSERT_EQ(both->left_out.size(), 2U);
  EXPECT_EQ(both->left_out[0].part, "vision tower");
  EXPECT_EQ(both->left_out[1].part, "audio tower");
  EXPECT_TRUE(Parsed(Nested({{"vision_config", nullptr}}))->left_out.empty());
}

// Published: the tower of Gemma 3 4B has 419816304 elements with its projection.
TEST(Nested, TheElementsOfATowerAreCountedWhereTheFileTellsThem) {
  const json text = {
      {"hidden_size", 2560}, {"intermediate_size", 10240}, {"num_hidden_layers", 34}};
  const json gemma = {{"architectures", {"Gemma3ForConditionalGeneration"}},
                      {"text_config", text},
                      {"vision_config", {{"hidden_size", 1152}, {"patch_size", 14}}}};
  const auto model = Parsed(gemma);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ(model->Parameters(), 3880263168);
  EXPECT_EQ(model->left_out[0].elements, 419816304);
  EXPECT_THAT(Refusal(Parsed(Nested({{"vision_config", {{"depth", 0}}}}))),
              HasSubstr("vision_config.depth=0"));
}

TEST(Nested, TyingAndStorageOutsideCountInside) {
  EXPECT_TRUE(Parsed(Nested({{"tie_word_embeddings", true}}))->tied_embeddings);
  EXPECT_EQ(Parsed(Nested({{"quantization_config", {{"quant_method", "fp8"}}}}))->quantization,
            "fp8");
}

TEST(Nested, ContradictionsAndMissingPartsAreRefused) {
  json twice = Nested({{"tie_word_embeddings", true}});
  twice["text_config"]["tie_word_embeddings"] = false;
  EXPECT_THAT(Refusal(Parsed(twice)), HasSubstr("tie_word_embeddings=true: want what text_config"));
  EXPECT_THAT(Refusal(Parsed(Nested({{"text_config", "absent"}}))),
              HasSubstr("text_config: missing"));
  EXPECT_THAT(Refusal(Parsed(Nested({{"text_config", 7}}))), HasSubstr("text_config=7"));
  json hollow = Nested();
  hollow["text_config"].erase("hidden_size");
  EXPECT_THAT(Refusal(Parsed(hollow)), HasSubstr("text_config.hidden_size: missing"));
}

}  // namespace
}  // namespace plimsoll
