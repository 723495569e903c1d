#include "engine/weights/make_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "engine/ops/weight_element.h"
#include "engine/weights/weights.h"
#include "kvcache/model/config_reader.h"
#include "tests/engine/support/tiny_model.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

// What a family's file must have beside the fields that all have.
std::string FieldsOf(const std::string& architecture) {
  if (architecture == "MixtralForCausalLM") {
    return R"(, "num_local_experts": 4, "num_experts_per_tok": 2)";
  }
  if (architecture == "Qwen2MoeForCausalLM") {
    return R"(, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
               "shared_expert_intermediate_size": 48)";
  }
  if (architecture == "Qwen3MoeForCausalLM") {
    return R"(, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32)";
  }
  return "";
}

// Those that spell their shape as the options do and keep K and V in every layer.
constexpr const char* kShapedAlike[] = {
    "LlamaForCausalLM",    "MistralForCausalLM", "MixtralForCausalLM",  "Qwen2ForCausalLM",
    "Qwen2MoeForCausalLM", "Qwen3ForCausalLM",   "Qwen3MoeForCausalLM", "GemmaForCausalLM",
    "Gemma2ForCausalLM",   "Gemma3ForCausalLM",  "Phi3ForCausalLM"};

TEST(MakeModel, WritesAModelOfEveryFamilyThatSharesLlamasFieldsAndItLoads) {
  for (const std::string architecture : kShapedAlike) {
    SCOPED_TRACE(architecture);
    const TempDir dir;
    TinyShape tiny{.architecture = architecture, .more = FieldsOf(architecture)};
    if (architecture == "Phi3ForCausalLM") tiny.head_dim = tiny.hidden / tiny.heads;
    const std::string like = dir.Write("config.json", tiny.Config());
    const auto made = MakeModel({.like = like,
                                 .folder = dir.File("out"),
                                 .shape = {.layers = 2, .kv_heads = 4, .vocab = 50}});
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->config.architecture, architecture);
    EXPECT_EQ(made->config.layers, 2);
    EXPECT_EQ(made->config.attention[0].kv_heads, 4);
    EXPECT_EQ(made->config.vocab_size, 50);
    const auto again = ReadModelConfig(dir.File("out"));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->Parameters(), made->config.Parameters());
    const auto weights = Weights::Load(dir.File("out"), *again);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_EQ((*weights)->tensor_bytes(), made->weight_bytes);
  }
}

TEST(MakeModel, AFamilyWithNamesOfItsOwnTakesTheShapeToo) {
  const TempDir dir;
  const std::string like = dir.Write(
      "config.json", R"({"architectures": ["GPT2LMHeadModel"], "n_layer": 12, "n_embd": 64,
      "n_head": 4, "n_positions": 128, "vocab_size": 100})");
  const auto made =
      MakeModel({.like = like, .folder = dir.File("a"), .shape = {.layers = 2, .hidden = 32}});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->config.layers, 2);
  EXPECT_EQ(made->config.hidden_size, 32);
}

TEST(MakeModel, AShapeThatTheFamilyDoesNotHaveIsRefused) {
  const TempDir dir;
  const std::string like =
      dir.Write("config.json", R"({"architectures": ["MambaForCausalLM"], "hidden_size": 64,
      "num_hidden_layers": 2, "vocab_size": 100, "state_size": 16, "intermediate_size": 128,
      "conv_kernel": 4, "time_step_rank": 4})");
  const absl::Status status =
      MakeModel({.like = like, .folder = dir.File("out"), .shape = {.heads = 7}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("heads=7: want 0"));
  EXPECT_FALSE(std::filesystem::exists(dir.File("out")));
}

TEST(MakeModel, TheSameSeedGivesTheSameFileAndAnotherSeedAnother) {
  const TempDir dir;
  const std::string like = dir.Write("config.json", TinyShape{}.Config());
  for (const char* out : {"a", "b", "c"}) {
    const uint64_t seed = out == std::string("c") ? 8 : 7;
    ASSERT_TRUE(MakeModel({.like = like, .folder = dir.File(out), .seed = seed}).ok());
  }
  const auto weights = [&](const char* out) {
    return ReadFile(dir.File(out) + "/model.safetensors");
  };
  EXPECT_EQ(weights("a"), weights("b"));
  EXPECT_NE(weights("a"), weights("c"));
}

// A norm multiplies by about 1 whatever its gains are counted from: LLaMA's from zero, Gemma's from
// one.
TEST(MakeModel, NormsMultiplyByAboutOne) {
  const auto mean_gain = [](const std::string& architecture) {
    const TinyModel model({.architecture = architecture, .hidden = 1000, .head_dim = 16});
    const WeightView gains = model.weights->Find("model.norm.weight");
    double sum = 0;
    for (int64_t i = 0; i < gains.cols; ++i) sum += WeightElement(gains, 0, i);
    return sum / static_cast<double>(gains.cols);
  };
  EXPECT_NEAR(mean_gain("LlamaForCausalLM"), 1, 0.05);
  EXPECT_NEAR(mean_gain("GemmaForCausalLM"), 0, 0.05);
}

TEST(MakeModel, AFolderWithSomethingInItIsLeftAlone) {
  const TempDir dir;
  const std::string like = dir.Write("config.json", TinyShape{}.Config());
  dir.Write("out/precious", "x");
  const absl::Status status = MakeModel({.like = like, .folder = dir.File("out")}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not empty"));
  EXPECT_EQ(ReadFile(dir.File("out/precious")), "x");
}

TEST(MakeModel, AnEmptyFolderIsFilled) {
  const TempDir dir;
  const std::string like = dir.Write("config.json", TinyShape{}.Config());
  std::filesystem::create_directory(dir.File("out"));
  EXPECT_TRUE(MakeModel({.like = like, .folder = dir.File("out") + "/"}).ok());
  EXPECT_TRUE(std::filesystem::exists(dir.File("out/model.safetensors")));
}

TEST(MakeModel, AFailureLeavesNothingBehind) {
  const TempDir dir;
  const std::string like = dir.Write("in/config.json", TinyShape{}.Config());
  const absl::Status status =
      MakeModel({.like = like, .folder = dir.File("out/model"), .shape = {.kv_heads = 3}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("num_key_value_heads"));
  EXPECT_FALSE(std::filesystem::exists(dir.File("out")));
}

TEST(Reshape, ListsByLayerAndTokensBeyondTheVocabularyFollow) {
  const std::string config = R"({"layer_types": ["a", "b"], "eos_token_id": [5, 200],
      "bos_token_id": 3, "quantization_config": {}, "hidden_size": 64, "num_attention_heads": 4,
      "rope_scaling": {"short_factor": [1, 2], "long_factor": [3, 4]}, "dtype": "float32"})";
  const auto text =
      Reshape(config, {.layers = 3, .heads = 8, .vocab = 100, .type = ElementType::kFp16});
  ASSERT_TRUE(text.ok()) << text.status();
  std::string flat = *text;
  std::erase_if(flat, [](char c) { return c == ' ' || c == '\n'; });
  EXPECT_THAT(flat, HasSubstr(R"("layer_types":["a","b","a"])"));
  EXPECT_THAT(flat, HasSubstr(R"("eos_token_id":null)"));
  EXPECT_THAT(flat, HasSubstr(R"("bos_token_id":3)"));
  EXPECT_THAT(flat, HasSubstr(R"("short_factor":[1,2,1,2])"));
  EXPECT_THAT(flat, HasSubstr(R"("dtype":"float16")"));
  EXPECT_THAT(flat, testing::Not(HasSubstr("quantization_config")));
}

}  // namespace
}  // namespace plimsoll
