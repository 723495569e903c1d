// Layers that are not all alike, states, latents and the many spellings of the same fields, worked
// by hand on small models; and what is refused where the file contradicts itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::HasSubstr;

absl::StatusOr<ModelConfig> Read(const std::string& architecture, const json& changes) {
  return Parsed(Changed(SmallConfig(architecture), changes));
}

std::string RefusalOf(const std::string& architecture, const json& changes) {
  return Refusal(Read(architecture, changes));
}

// How many layers attend and how many keep a state.
std::pair<size_t, size_t> Kinds(const std::string& architecture, const json& changes) {
  const auto model = Read(architecture, changes);
  EXPECT_TRUE(model.ok()) << model.status().message();
  if (!model.ok()) return {};
  return {model->attention.size(), model->recurrent.size()};
}

using Pair = std::pair<size_t, size_t>;

// Width 128: in 2 x 128 x 64, convolution 128 x 4 and bias, x (4 + 2 x 16) x 128, dt 128 x 4 and
// bias, A 128 x 16, D 128, out 64 x 128; one norm a layer, one at the end, one embedding for both
// ends.
TEST(LayerKinds, AMambaIsCountedAsByHand) {
  const auto model = Read("MambaForCausalLM", {{"intermediate_size", 128}, {"state_size", 16}});
  ASSERT_TRUE(model.ok()) << model.status().message();
  const int64_t mixer =
      2 * 128 * 64 + 128 * 4 + 128 + 36 * 128 + 128 * 4 + 128 + 128 * 16 + 128 + 64 * 128;
  EXPECT_EQ(model->Parameters(), 100 * 64 + 64 + 2 * (mixer + 64));
  EXPECT_TRUE(model->attention.empty());
  ASSERT_EQ(model->recurrent.size(), 2U);
  EXPECT_EQ(model->recurrent[0].conv_elements, 128 * 3);
  EXPECT_EQ(model->recurrent[0].state_elements, 128 * 16);
}

TEST(LayerKinds, JambaCountsInPeriodsAndOffsets) {
  const json jamba = {{"num_hidden_layers", 8}, {"num_experts", 4}};
  EXPECT_EQ(Kinds("JambaForCausalLM", jamba), Pair(1, 7));
  EXPECT_EQ(Kinds("JambaForCausalLM",
                  Changed(jamba, {{"attn_layer_period", 2}, {"attn_layer_offset", 1}})),
            Pair(4, 4));
  EXPECT_THAT(RefusalOf("JambaForCausalLM", {{"attn_layer_offset", 8}}),
              HasSubstr("attn_layer_offset=8: want less than attn_layer_period"));
}

TEST(LayerKinds, BambaNamesItsAttentionLayers) {
  const json bamba = {{"num_hidden_layers", 4}, {"mamba_n_heads", 8}, {"mamba_d_head", 16}};
  EXPECT_EQ(Kinds("BambaForCausalLM", Changed(bamba, {{"attn_layer_indices", {1, 2}}})),
            Pair(2, 2));
  EXPECT_EQ(Kinds("BambaForCausalLM", bamba), Pair(0, 4));
  EXPECT_THAT(RefusalOf("BambaForCausalLM", Changed(bamba, {{"attn_layer_indices", {4}}})),
              HasSubstr("attn_layer_indices=4: want a whole number from 0 to 3"));
  EXPECT_THAT(RefusalOf("BambaForCausalLM", Changed(bamba, {{"mamba_d_head", 15}})),
              HasSubstr("mamba_d_head=15"));
}

TEST(LayerKinds, GraniteAndQwenListThem) {
  const json granite = {
      {"mamba_n_heads", 8}, {"num_local_experts", 0}, {"layer_types", {"mamba", "attention"}}};
  EXPECT_EQ(Kinds("GraniteMoeHybridForCausalLM", granite), Pair(1, 1));
  EXPECT_THAT(RefusalOf("GraniteMoeHybridForCausalLM", {{"layer_types", {"mamba", "conv"}}}),
              HasSubstr("layer_types=conv: want attention or mamba"));
  const json next = {{"num_hidden_layers", 4},
                     {"num_experts", 2},
                     {"num_experts_per_tok", 1},
                     {"moe_intermediate_size", 8}};
  EXPECT_EQ(Kinds("Qwen3NextForCausalLM", next), Pair(1, 3));
  EXPECT_EQ(Kinds("Qwen3NextForCausalLM", Changed(next, {{"full_attention_interval", 2}})),
            Pair(2, 2));
  EXPECT_THAT(
      RefusalOf("Qwen3NextForCausalLM", Changed(next, {{"layer_types", {"full_attention"}}})),
      HasSubstr("one entry for each of num_hidden_layers=4"));
}

TEST(LayerKinds, NemotronSpellsThem) {
  const json nemotron = {{"num_hidden_layers", 4}, {"hybrid_override_pattern", "M*-M"}};
  EXPECT_EQ(Kinds("NemotronHForCausalLM", nemotron), Pair(1, 2));
  EXPECT_THAT(RefusalOf("NemotronHForCausalLM", {{"hybrid_override_pattern", "M*-"}}),
              HasSubstr("one letter for each of num_hidden_layers=2"));
  EXPECT_THAT(RefusalOf("NemotronHForCausalLM", {{"hybrid_override_pattern", "MX"}}),
              HasSubstr("letters M, *, - and E"));
  const json words = {{"num_hidden_layers", "absent"},
                      {"layers_block_type", {"mamba", "mlp", "attention"}}};
  EXPECT_EQ(Kinds("NemotronHForCausalLM", words), Pair(1, 1));
  EXPECT_THAT(RefusalOf("NemotronHForCausalLM", Changed(words, {{"num_hidden_layers", 4}})),
              HasSubstr("one word for each of num_hidden_layers=4"));
  EXPECT_THAT(RefusalOf("NemotronHForCausalLM", {{"layers_block_type", {"mamba", "conv"}}}),
              HasSubstr("layers_block_type=conv: want mamba, attention, mlp or moe"));
}

// Eight heads share K and V in the first block; the second has no attention and a narrower MLP:
// 2 x 1.5 x 64 / 3 = 64, rounded up to 256.
TEST(LayerKinds, PrunedBlocksHaveShapesOfTheirOwn) {
  const json block = {{"attention", {{"n_heads_in_group", 4}, {"no_op", false}}},
                      {"ffn", {{"ffn_mult", 6.0}, {"no_op", false}}}};
  const json without = {{"attention", {{"n_heads_in_group", nullptr}, {"no_op", true}}},
                        {"ffn", {{"ffn_mult", 1.5}, {"no_op", false}}}};
  const auto model = Read("DeciLMForCausalLM", {{"block_configs", {block, without}}});
  ASSERT_TRUE(model.ok()) << model.status().message();
  ASSERT_EQ(model->attention.size(), 1U);
  EXPECT_EQ(model->attention[0].kv_heads, 1);
  const int64_t first = 64 * 64 * 2 + 2 * 16 * 64 + 64 + 3 * 256 * 64 + 64;
  const int64_t second = 3 * 256 * 64 + 64;
  EXPECT_EQ(model->Parameters(), 2 * 100 * 64 + 64 + first + second);
  EXPECT_THAT(RefusalOf("DeciLMForCausalLM", {{"block_configs", {block}}}),
              HasSubstr("one object for each of num_hidden_layers=2"));
  json linear = block;
  linear["ffn"]["replace_with_linear"] = true;
  EXPECT_THAT(RefusalOf("DeciLMForCausalLM", {{"block_configs", {block, linear}}}),
              HasSubstr("replace_with_linear=true: want false"));
}

TEST(LayerKinds, ALatentIsKeptOnceAndIndexKeysBesideIt) {
  const json latent = {{"q_lora_rank", 24},          {"kv_lora_rank", 32},
                       {"qk_nope_head_dim", 16},     {"qk_rope_head_dim", 8},
                       {"v_head_dim", 16},           {"n_routed_experts", 4},
                       {"num_experts_per_tok", 2},   {"moe_intermediate_size", 16},
                       {"first_k_dense_replace", 1}, {"index_n_heads", 2},
                       {"index_head_dim", 16}};
  const auto v3 = Read("DeepseekV3ForCausalLM", latent);
  ASSERT_TRUE(v3.ok()) << v3.status().message();
  EXPECT_EQ(v3->attention[0].latent_dim, 40);
  EXPECT_EQ(v3->attention[0].head_dim, 24);
  const auto v32 = Read("DeepseekV32ForCausalLM", latent);
  EXPECT_EQ(v32->attention[1].index_dim, 16);
  const int64_t indexer = 2 * 16 * 24 + 16 * 64 + 2 * 16 + 2 * 64;
  EXPECT_EQ(v32->Parameters(), v3->Parameters() + 2 * indexer);
  EXPECT_THAT(RefusalOf("DeepseekV32ForCausalLM", Changed(latent, {{"q_lora_rank", nullptr}})),
              HasSubstr("q_lora_rank: missing"));
  const json shared = Changed(latent, {{"indexer_types", {"full", "shared"}}});
  const auto glm = Read("GlmMoeDsaForCausalLM", shared);
  ASSERT_TRUE(glm.ok()) << glm.status().message();
  EXPECT_EQ(glm->Parameters(), v3->Parameters() + indexer);
  EXPECT_EQ(glm->attention[0].index_dim, 16);
  EXPECT_EQ(glm->attention[1].index_dim, 0);
  EXPECT_THAT(RefusalOf("GlmMoeDsaForCausalLM", Changed(latent, {{"index_topk_freq", 4}})),
              HasSubstr("indexer_types: missing"));
}

TEST(LayerKinds, APredictionBlockIsLeftOutByName) {
  const auto model = Read("MiMoForCausalLM", {{"num_nextn_predict_layers", 1}});
  ASSERT_TRUE(model.ok()) << model.status().message();
  ASSERT_EQ(model->left_out.size(), 1U);
  EXPECT_EQ(model->left_out[0].part, "prediction block");
  EXPECT_EQ(model->StoredParameters(), model->Parameters() + *model->left_out[0].elements);
  EXPECT_TRUE(Read("MiMoForCausalLM", {})->left_out.empty());
}

// The same model in GPT-2's words and in today's.
TEST(Spellings, OldNamesAreReadAndNamedInMessages) {
  const json old = {{"architectures", {"GPT2LMHeadModel"}},
                    {"n_embd", 64},
                    {"n_layer", 2},
                    {"n_head", 4},
                    {"n_positions", 256},
                    {"vocab_size", 100}};
  const auto model = Parsed(old);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ(model->Parameters(),
            Read("GPT2LMHeadModel", {{"num_key_value_heads", "absent"}, {"intermediate_size", 256}})
                ->Parameters());
  EXPECT_THAT(Refusal(Parsed(Changed(old, {{"n_embd", "absent"}}))), HasSubstr("n_embd: missing"));
  EXPECT_THAT(Refusal(Parsed(Changed(old, {{"n_layer", -1}}))), HasSubstr("n_layer=-1"));
  EXPECT_THAT(Refusal(Parsed(Changed(old, {{"num_hidden_layers", 3}}))),
              HasSubstr("n_layer=2: want the value of num_hidden_layers, 3"));
}

TEST(LayerKinds, StatesTooLargeToCountAreRefused) {
  EXPECT_THAT(RefusalOf("MambaForCausalLM", {{"num_hidden_layers", 100'000},
                                             {"hidden_size", 1},
                                             {"intermediate_size", 1 << 16},
                                             {"state_size", 1 << 14}}),
              testing::AnyOf(HasSubstr("state elements"), HasSubstr("parameters=more")));
}

// The largest of every field in every family: refused or counted, never wrapped.
TEST(LayerKinds, TheLargestFieldsOfEveryFamilyDoNotOverflow) {
  for (const std::string& architecture : SupportedArchitectures()) {
    json largest = SmallConfig(architecture);
    for (const char* const field : {"num_hidden_layers",
                                    "hidden_size",
                                    "intermediate_size",
                                    "moe_intermediate_size",
                                    "num_attention_heads",
                                    "head_dim",
                                    "vocab_size",
                                    "n_routed_experts",
                                    "num_experts",
                                    "num_local_experts",
                                    "n_shared_experts",
                                    "num_experts_per_tok",
                                    "kv_lora_rank",
                                    "q_lora_rank",
                                    "qk_nope_head_dim",
                                    "qk_rope_head_dim",
                                    "v_head_dim",
                                    "state_size",
                                    "mamba_num_heads",
                                    "mamba_head_dim",
                                    "ssm_state_size",
                                    "n_groups",
                                    "mamba_n_heads",
                                    "linear_num_value_heads",
                                    "linear_value_head_dim",
                                    "shared_intermediate_size",
                                    "moe_shared_expert_intermediate_size",
                                    "index_n_heads",
                                    "index_head_dim",
                                    "num_nextn_predict_layers",
                                    "global_head_dim",
                                    "top_k_experts",
                                    "mamba_d_state"}) {
      for (int64_t value = int64_t{1} << 24; value > 0; value /= 4) {
        json with = largest;
        with[field] = value;
        if (RefusalOf(architecture, with).find(std::string(field) + "=") != std::string::npos)
          continue;
        largest[field] = value;
        break;
      }
    }
    const auto model = Parsed(largest);
    if (model.ok()) {
      EXPECT_LE(model->Parameters(), int64_t{1} << 50) << architecture;
      EXPECT_GT(model->Parameters(), 0) << architecture;
    }
  }
}

}  // namespace
}  // namespace plimsoll
