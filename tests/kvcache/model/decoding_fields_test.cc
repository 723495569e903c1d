// What only a decoder asks of a configuration: scales, caps, offsets of norms, shares of experts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::HasSubstr;

ModelConfig Read(const std::string& architecture, const json& changes = json::object()) {
  const absl::StatusOr<ModelConfig> model = Parsed(Changed(SmallConfig(architecture), changes));
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

TEST(DecodingFields, ALlamaHasNoneOfThem) {
  const ModelConfig model = Read("LlamaForCausalLM");
  EXPECT_EQ(model.norm_offset, 0);
  EXPECT_EQ(model.embedding_scale, 1);
  EXPECT_FALSE(model.attention_scale || model.attention_softcap || model.final_softcap);
  EXPECT_FALSE(model.mixture);
}

TEST(DecodingFields, GemmaScalesEmbeddingsAndCountsGainsFromOne) {
  const ModelConfig model = Read("GemmaForCausalLM");
  EXPECT_EQ(model.norm_offset, 1);
  EXPECT_EQ(model.embedding_scale, 8);  // sqrt(64)
  EXPECT_EQ(model.activation, Activation::kGeluTanh);
  EXPECT_FALSE(model.attention_scale || model.attention_softcap || model.final_softcap);
}

TEST(DecodingFields, Gemma2CapsScoresAndLogits) {
  const ModelConfig silent = Read("Gemma2ForCausalLM");
  EXPECT_EQ(silent.attention_scale, 1.0 / 16);  // of 256
  EXPECT_EQ(silent.attention_softcap, 50);
  EXPECT_EQ(silent.final_softcap, 30);
  const ModelConfig named = Read("Gemma2ForCausalLM", {{"query_pre_attn_scalar", 144},
                                                       {"attn_logit_softcapping", 20.5},
                                                       {"final_logit_softcapping", nullptr}});
  EXPECT_EQ(named.attention_scale, 1.0 / 12);
  EXPECT_EQ(named.attention_softcap, 20.5);
  EXPECT_EQ(named.final_softcap, std::nullopt);
}

TEST(DecodingFields, MixtralsSharesAddUpToOne) {
  const Mixture mixture =
      *Read("MixtralForCausalLM", {{"num_local_experts", 4}, {"num_experts_per_tok", 2}}).mixture;
  EXPECT_EQ(mixture.experts, 4);
  EXPECT_EQ(mixture.active, 2);
  EXPECT_EQ(mixture.width, 96);
  EXPECT_EQ(mixture.shared_width, 0);
  EXPECT_TRUE(mixture.renormalised);
}

TEST(DecodingFields, QwensSharesDoWhereTheFileSaysSo) {
  json fields = {{"num_experts", 8}, {"num_experts_per_tok", 3}, {"moe_intermediate_size", 32}};
  const Mixture mixture = *Read("Qwen3MoeForCausalLM", fields).mixture;
  EXPECT_EQ(mixture.experts, 8);
  EXPECT_EQ(mixture.active, 3);
  EXPECT_EQ(mixture.width, 32);
  EXPECT_FALSE(mixture.renormalised);
  fields["norm_topk_prob"] = true;
  EXPECT_TRUE(Read("Qwen3MoeForCausalLM", fields).mixture->renormalised);
  fields["shared_expert_intermediate_size"] = 48;
  EXPECT_EQ(Read("Qwen2MoeForCausalLM", fields).mixture->shared_width, 48);
}

TEST(DecodingFields, WhatIsNoScaleIsRefusedByName) {
  for (const char* const field :
       {"query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"}) {
    for (const json& value : {json(0), json(-1.5), json("50"), json(true), json::array()}) {
      EXPECT_THAT(Refusal(Parsed(Changed(SmallConfig("Gemma2ForCausalLM"), {{field, value}}))),
                  HasSubstr(std::string(field) + "="))
          << value;
    }
  }
  const json fields = {{"num_experts", 8}, {"moe_intermediate_size", 32}, {"norm_topk_prob", 1}};
  EXPECT_THAT(Refusal(Parsed(Changed(SmallConfig("Qwen3MoeForCausalLM"), fields))),
              HasSubstr("norm_topk_prob=1"));
}

}  // namespace
}  // namespace plimsoll
