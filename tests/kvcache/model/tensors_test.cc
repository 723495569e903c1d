// The names and shapes of tensors are the checkpoints' own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

// "name [rows, columns]" of each tensor.
std::vector<std::string> Tensors(const std::string& architecture, const json& changes = {}) {
  const absl::StatusOr<ModelConfig> model = Parsed(Changed(SmallConfig(architecture), changes));
  EXPECT_TRUE(model.ok()) << model.status().message();
  std::vector<std::string> lines;
  if (!model.ok()) return lines;
  for (const TensorSpec& tensor : model->tensors) {
    lines.push_back(tensor.name + " " + json(tensor.shape).dump());
  }
  return lines;
}

const std::string kLayer = "model.layers.{layer}.";

TEST(Tensors, LlamaHasThese) {
  EXPECT_THAT(
      Tensors("LlamaForCausalLM"),
      testing::UnorderedElementsAre(
          "model.embed_tokens.weight [100,64]", "model.norm.weight [64]", "lm_head.weight [100,64]",
          kLayer + "self_attn.q_proj.weight [64,64]", kLayer + "self_attn.k_proj.weight [32,64]",
          kLayer + "self_attn.v_proj.weight [32,64]", kLayer + "self_attn.o_proj.weight [64,64]",
          kLayer + "mlp.gate_proj.weight [96,64]", kLayer + "mlp.up_proj.weight [96,64]",
          kLayer + "mlp.down_proj.weight [64,96]", kLayer + "input_layernorm.weight [64]",
          kLayer + "post_attention_layernorm.weight [64]"));
}

TEST(Tensors, LlamaMayHaveBiases) {
  const std::vector<std::string> biases = {
      kLayer + "self_attn.q_proj.bias [64]", kLayer + "self_attn.k_proj.bias [32]",
      kLayer + "self_attn.o_proj.bias [64]", kLayer + "mlp.gate_proj.bias [96]",
      kLayer + "mlp.down_proj.bias [64]"};
  EXPECT_THAT(Tensors("LlamaForCausalLM", {{"attention_bias", true}, {"mlp_bias", true}}),
              IsSupersetOf(biases));
}

TEST(Tensors, ATiedModelHasNoHead) {
  EXPECT_THAT(Tensors("GemmaForCausalLM"), Not(Contains(HasSubstr("lm_head"))));
}

TEST(Tensors, Qwen2HasBiasesOnQkvOnlyAndQwen3NormsOfHeads) {
  const std::vector<std::string> qwen2 = Tensors("Qwen2ForCausalLM");
  EXPECT_THAT(qwen2, Contains(kLayer + "self_attn.v_proj.bias [32]"));
  EXPECT_THAT(qwen2, Not(Contains(HasSubstr("o_proj.bias"))));
  EXPECT_THAT(
      Tensors("Qwen3ForCausalLM", {{"head_dim", 16}}),
      AllOf(Contains(kLayer + "self_attn.q_norm.weight [16]"),
            Contains(kLayer + "self_attn.k_norm.weight [16]"), Not(Contains(HasSubstr("bias")))));
}

TEST(Tensors, Phi3KeepsQkvAndGateUpTogether) {
  const std::vector<std::string> fused = {kLayer + "self_attn.qkv_proj.weight [128,64]",
                                          kLayer + "mlp.gate_up_proj.weight [192,64]"};
  EXPECT_THAT(Tensors("Phi3ForCausalLM"),
              AllOf(IsSupersetOf(fused), Not(Contains(HasSubstr("q_proj")))));
}

TEST(Tensors, Gemma2HasFourNormsALayer) {
  EXPECT_THAT(Tensors("Gemma2ForCausalLM"),
              AllOf(Contains(kLayer + "pre_feedforward_layernorm.weight [64]"),
                    Contains(kLayer + "post_feedforward_layernorm.weight [64]")));
}

TEST(Tensors, MixtralHasARouterAndExperts) {
  const json experts = {{"num_local_experts", 4}, {"num_experts_per_tok", 2}};
  const std::string moe = kLayer + "block_sparse_moe.";
  EXPECT_THAT(Tensors("MixtralForCausalLM", experts),
              AllOf(Contains(moe + "gate.weight [4,64]"),
                    Contains(moe + "experts.{expert}.w1.weight [96,64]"),
                    Contains(moe + "experts.{expert}.w2.weight [64,96]"),
                    Contains(moe + "experts.{expert}.w3.weight [96,64]"),
                    Not(Contains(HasSubstr("mlp.")))));
}

TEST(Tensors, QwensExpertsStandInSomeLayersAndPlainMlpsInTheOthers) {
  const json changes = {{"num_hidden_layers", 4},
                        {"num_experts", 4},
                        {"num_experts_per_tok", 2},
                        {"moe_intermediate_size", 32},
                        {"decoder_sparse_step", 2},
                        {"mlp_only_layers", {3}},
                        {"head_dim", 16}};
  const absl::StatusOr<ModelConfig> model =
      Parsed(Changed(SmallConfig("Qwen3MoeForCausalLM"), changes));
  ASSERT_TRUE(model.ok()) << model.status().message();
  for (const TensorSpec& tensor : model->tensors) {
    if (tensor.role == TensorRole::kExpert) {
      EXPECT_THAT(tensor.layers, testing::ElementsAre(1));
      EXPECT_EQ(tensor.Copies(), 4);
    }
    if (tensor.name == kLayer + "mlp.gate_proj.weight") {
      EXPECT_THAT(tensor.layers, testing::ElementsAre(0, 2, 3));
    }
  }
  EXPECT_EQ(model->widest_ffn, 96);
}

}  // namespace
}  // namespace plimsoll
