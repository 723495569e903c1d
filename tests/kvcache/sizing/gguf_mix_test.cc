// File types of GGUF. Sizes are those that publishers' files have in their tensors.
#include "kvcache/sizing/gguf_mix.h"

#include <gtest/gtest.h>

#include <string>

#include "kvcache/sizing/weight_format.h"
#include "tests/kvcache/model/config_texts.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

ModelConfig ModelOf(const nlohmann::json& changes) {
  const auto model = Parsed(Changed(SmallConfig(), changes));
  PLIMSOLL_CHECK(model.ok(), model.status().message());
  return *model;
}

int64_t SizeIn(const ModelConfig& model, std::string_view name) {
  return WeightBytesOf(model, WeightFormatFromName(name)).total.value();
}

const ModelConfig& TinyLlama() {
  static const ModelConfig model = ModelOf({{"hidden_size", 2048},
                                            {"intermediate_size", 5632},
                                            {"num_hidden_layers", 22},
                                            {"num_attention_heads", 32},
                                            {"num_key_value_heads", 4},
                                            {"vocab_size", 32000}});
  return model;
}

// As it is published for llama.cpp: with q, k and v apart.
const ModelConfig& Phi4() {
  static const ModelConfig model = ModelOf({{"hidden_size", 5120},
                                            {"intermediate_size", 17920},
                                            {"num_hidden_layers", 40},
                                            {"num_attention_heads", 40},
                                            {"num_key_value_heads", 10},
                                            {"vocab_size", 100352}});
  return model;
}

TEST(GgufMix, PublishedFilesToTheByte) {
  EXPECT_EQ(SizeIn(ModelNamed("meta-llama/Llama-2-7b-hf"), "q4_0"), 3825065984);
  EXPECT_EQ(SizeIn(TinyLlama(), "q4_0"), 635990016);
  EXPECT_EQ(SizeIn(TinyLlama(), "q4_k_m"), 667078656);
  EXPECT_EQ(SizeIn(Phi4(), "q8_0"), 15576944640);
  EXPECT_EQ(SizeIn(Phi4(), "q4_k_m"), 8886743040);
}

TEST(GgufMix, APureFileHasOneTypeThroughout) {
  const ModelConfig qwen = ModelOf({{"architectures", {"Qwen2ForCausalLM"}},
                                    {"hidden_size", 2048},
                                    {"intermediate_size", 11008},
                                    {"num_hidden_layers", 36},
                                    {"num_attention_heads", 16},
                                    {"num_key_value_heads", 2},
                                    {"tie_word_embeddings", true},
                                    {"vocab_size", 151936}});
  EXPECT_EQ(SizeIn(qwen, "q4_0-pure"), 1736671232);
  EXPECT_GT(SizeIn(qwen, "q4_0"), 1736671232) << "its embedding is the output matrix too";
}

TEST(GgufMix, In16BitsNormsAndBiasesStayIn32) {
  const ModelConfig glm = ModelOf({{"architectures", {"Glm4ForCausalLM"}},
                                   {"hidden_size", 4096},
                                   {"intermediate_size", 13696},
                                   {"num_hidden_layers", 40},
                                   {"num_attention_heads", 32},
                                   {"num_key_value_heads", 2},
                                   {"head_dim", 128},
                                   {"attention_bias", true},
                                   {"tie_word_embeddings", false},
                                   {"vocab_size", 151552}});
  EXPECT_EQ(SizeIn(glm, "f16"), 18802245632);
  EXPECT_EQ(SizeIn(glm, "gguf-bf16"), 18802245632);
}

TEST(GgufMix, NamesAreThoseOfFiles) {
  for (const char* const name : {"q4_0", "q4_k_m", "q3_k_l", "iq4_xs", "gguf-f16", "q8_0-pure"}) {
    const auto mix = GgufMixFromName(name);
    ASSERT_TRUE(mix) << name;
    EXPECT_EQ(NameOf(*mix), name);
  }
  EXPECT_EQ(GgufMixFromName("f16"), (GgufMix{GgufFileType::kF16}));
  for (const char* const name : {"", "q4", "q4_k", "Q9_0", "-pure", "bf16", "iq1_s"}) {
    EXPECT_FALSE(GgufMixFromName(name)) << name;
  }
}

std::string TypeOfTensor(std::string_view mix, const ModelConfig& model, std::string_view end,
                         int32_t layer) {
  const GgufLayout layout(*GgufMixFromName(mix), model);
  for (const TensorSpec& tensor : model.tensors) {
    if (tensor.name.ends_with(end)) return std::string(layout.TypeOf(tensor, layer).name);
  }
  return "no such tensor";
}

// 22 layers: an eighth is 2, seven eighths are 19, and between them every third from 4 on.
TEST(GgufMix, SomeLayersAreLifted) {
  std::string lifted;
  for (int32_t layer = 0; layer < 22; ++layer) {
    const std::string type = TypeOfTensor("q4_k_m", TinyLlama(), "v_proj.weight", layer);
    EXPECT_EQ(TypeOfTensor("q4_k_m", TinyLlama(), "down_proj.weight", layer), type);
    EXPECT_EQ(TypeOfTensor("q4_k_m", TinyLlama(), "up_proj.weight", layer), "Q4_K");
    lifted += type == "Q6_K" ? '6' : '4';
  }
  EXPECT_EQ(lifted, "6644644644644644644666");
}

TEST(GgufMix, OtherRulesByMix) {
  EXPECT_EQ(TypeOfTensor("q4_0", TinyLlama(), "lm_head.weight", 0), "Q6_K");
  EXPECT_EQ(TypeOfTensor("q4_0", TinyLlama(), "embed_tokens.weight", 0), "Q4_0");
  EXPECT_EQ(TypeOfTensor("q8_0", TinyLlama(), "lm_head.weight", 0), "Q8_0");
  EXPECT_EQ(TypeOfTensor("q2_k", TinyLlama(), "v_proj.weight", 9), "Q4_K");
  EXPECT_EQ(TypeOfTensor("q2_k", TinyLlama(), "o_proj.weight", 9), "Q3_K");
  EXPECT_EQ(TypeOfTensor("q3_k_m", TinyLlama(), "v_proj.weight", 1), "Q5_K");
  EXPECT_EQ(TypeOfTensor("q3_k_m", TinyLlama(), "v_proj.weight", 2), "Q4_K");
  EXPECT_EQ(TypeOfTensor("q4_k_s", TinyLlama(), "down_proj.weight", 1), "Q5_K");
  EXPECT_EQ(TypeOfTensor("q4_k_s", TinyLlama(), "down_proj.weight", 2), "Q4_K");
  const ModelConfig mixtral = ModelNamed("mistralai/Mixtral-8x7B-v0.1");
  EXPECT_EQ(TypeOfTensor("q4_k_m", mixtral, "k_proj.weight", 3), "Q8_0");
  EXPECT_EQ(TypeOfTensor("q4_k_m", mixtral, "o_proj.weight", 3), "Q5_K");
  EXPECT_EQ(TypeOfTensor("q4_k_m", mixtral, "gate.weight", 3), "F32") << "a router";
}

// 896 columns are no whole blocks of 256.
TEST(GgufMix, RowsThatBlocksDoNotDivideHaveSmallerBlocks) {
  const ModelConfig model = ModelOf({{"hidden_size", 896}, {"num_attention_heads", 14}});
  EXPECT_EQ(TypeOfTensor("q4_k_m", model, "gate_proj.weight", 0), "Q5_0");
  EXPECT_EQ(TypeOfTensor("q6_k", model, "gate_proj.weight", 0), "Q8_0");
  EXPECT_EQ(TypeOfTensor("q4_k_m", model, "lm_head.weight", 0), "Q8_0");
}

}  // namespace
}  // namespace plimsoll
