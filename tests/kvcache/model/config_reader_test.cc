#include "kvcache/model/config_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/kvcache/model/config_texts.h"
#include "tests/kvcache/model/other_published_models.h"
#include "tests/kvcache/model/published_files.h"
#include "tests/kvcache/model/published_models.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

class EveryPublishedModel : public testing::TestWithParam<PublishedModel> {};

TEST_P(EveryPublishedModel, HasExactlyItsParameters) {
  const absl::StatusOr<ModelConfig> model =
      ParseModelConfig(GetParam().config, std::string(GetParam().name));
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ(model->Parameters(), GetParam().parameters);
  EXPECT_EQ(model->name, GetParam().name);
}

std::string NameOfCase(const testing::TestParamInfo<PublishedModel>& info) {
  std::string name(info.param.name);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Table, EveryPublishedModel, testing::ValuesIn(kPublishedModels),
                         NameOfCase);
INSTANTIATE_TEST_SUITE_P(OtherTable, EveryPublishedModel, testing::ValuesIn(kOtherPublishedModels),
                         NameOfCase);

TEST(PublishedFiles, AreCountedExactlyWithWhatTheyLeaveOut) {
  for (const auto& [published, stored] : kPublishedFiles) {
    SCOPED_TRACE(published.name);
    const absl::StatusOr<ModelConfig> model =
        ParseModelConfig(published.config, std::string(published.name));
    ASSERT_TRUE(model.ok()) << model.status().message();
    EXPECT_EQ(model->Parameters(), published.parameters);
    EXPECT_EQ(model->StoredParameters(), stored);
  }
}

// Totals that the Hub gives for checkpoints with a prediction block.
TEST(PublishedFiles, APredictionBlockIsPartOfWhatIsStored) {
  for (const PublishedModel& published : kOtherPublishedModels) {
    const auto model = ParseModelConfig(published.config, "published");
    ASSERT_TRUE(model.ok());
    if (published.name == "deepseek-ai/DeepSeek-R1") {
      EXPECT_EQ(model->StoredParameters(), 684489845504);
    } else if (published.name == "Qwen/Qwen3-Next-80B-A3B-Instruct") {
      EXPECT_EQ(model->StoredParameters(), 81324862720);
    }
  }
}

// Worked by hand: embedding and head 2 x 100 x 64; a layer has q and o 64 x 64 each, k and v
// 32 x 64 each, three matrices 96 x 64 and two norms of 64; one norm at the end.
TEST(ConfigReader, CountsASmallModelAsByHand) {
  const absl::StatusOr<ModelConfig> model = Parsed(SmallConfig());
  ASSERT_TRUE(model.ok()) << model.status().message();
  const int64_t layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64 + 2 * 64;
  EXPECT_EQ(model->Parameters(), 2 * 100 * 64 + 2 * layer + 64);
  EXPECT_EQ(model->ActiveParameters(), model->Parameters());
  EXPECT_EQ(model->dtype, ElementType::kFp16);
  EXPECT_EQ(model->attention.size(), 2U);
  EXPECT_EQ(model->attention[0].head_dim, 16);
  EXPECT_FALSE(model->tied_embeddings);
}

TEST(ConfigReader, OnlyTheExpertsOfATokenAreActive) {
  const PublishedModel& mixtral = Published("mistralai/Mixtral-8x7B-v0.1");
  const absl::StatusOr<ModelConfig> model = ParseModelConfig(mixtral.config, "mixtral");
  ASSERT_TRUE(model.ok());
  // Six of eight experts, of three matrices in each of 32 layers, are idle.
  EXPECT_EQ(model->ActiveParameters(), mixtral.parameters - int64_t{6} * 3 * 32 * 4096 * 14336);
}

TEST(ConfigReader, HeadDimCountsWhenThereAndIsDerivedWhenNullOrAbsent) {
  EXPECT_EQ(Parsed(Changed(SmallConfig(), {{"head_dim", 32}}))->attention[0].head_dim, 32);
  EXPECT_EQ(Parsed(Changed(SmallConfig(), {{"head_dim", nullptr}}))->attention[0].head_dim, 16);
  EXPECT_EQ(Parsed(SmallConfig("GemmaForCausalLM"))->attention[0].head_dim, 256);
  EXPECT_EQ(Parsed(SmallConfig("Qwen3ForCausalLM"))->attention[0].head_dim, 128);
}

TEST(ConfigReader, KvHeadsDefaultToHeadsOrToTheArchitecture) {
  EXPECT_EQ(
      Parsed(Changed(SmallConfig(), {{"num_key_value_heads", "absent"}}))->attention[0].kv_heads,
      4);
  EXPECT_EQ(
      Parsed(Changed(SmallConfig(), {{"num_key_value_heads", nullptr}}))->attention[0].kv_heads, 4);
  const nlohmann::json mistral =
      Changed(SmallConfig("MistralForCausalLM"),
              {{"num_attention_heads", 16}, {"num_key_value_heads", "absent"}});
  EXPECT_EQ(Parsed(mistral)->attention[0].kv_heads, 8);
}

TEST(ConfigReader, TyingIsTheArchitecturesWhereTheFileIsSilent) {
  EXPECT_TRUE(Parsed(SmallConfig("GemmaForCausalLM"))->tied_embeddings);
  EXPECT_TRUE(Parsed(SmallConfig("Gemma2ForCausalLM"))->tied_embeddings);
  EXPECT_FALSE(Parsed(SmallConfig("MistralForCausalLM"))->tied_embeddings);
  EXPECT_FALSE(Parsed(SmallConfig("Phi3ForCausalLM"))->tied_embeddings);
  EXPECT_TRUE(Parsed(Changed(SmallConfig(), {{"tie_word_embeddings", true}}))->tied_embeddings);
}

TEST(ConfigReader, TheTypeIsReadUnderItsOldAndItsNewName) {
  EXPECT_EQ(Parsed(Changed(SmallConfig(), {{"torch_dtype", "float32"}}))->dtype,
            ElementType::kFp32);
  EXPECT_EQ(
      Parsed(Changed(SmallConfig(), {{"torch_dtype", "absent"}, {"dtype", "float16"}}))->dtype,
      ElementType::kFp16);
  EXPECT_EQ(Parsed(Changed(SmallConfig(), {{"torch_dtype", "absent"}}))->dtype, ElementType::kBf16);
}

TEST(ConfigReader, TheFirstOfSeveralEndTokensCounts) {
  EXPECT_EQ(Parsed(SmallConfig())->eos_token, std::nullopt);
  EXPECT_EQ(Parsed(Changed(SmallConfig(), {{"eos_token_id", 0}}))->eos_token, 0);
  EXPECT_EQ(Parsed(Changed(SmallConfig(), {{"eos_token_id", {7, 8}}}))->eos_token, 7);
}

TEST(ConfigReader, ReadsAFolderOrTheFileInIt) {
  const TempDir folder;
  const std::string file = folder.Write("tiny-llama/config.json", SmallConfig().dump());
  for (const std::string& path : {folder.File("tiny-llama"), folder.File("tiny-llama/"), file}) {
    const absl::StatusOr<ModelConfig> model = ReadModelConfig(path);
    ASSERT_TRUE(model.ok()) << model.status().message();
    EXPECT_EQ(model->name, "tiny-llama");
  }
  const std::string other = folder.Write("odd.json", SmallConfig().dump());
  EXPECT_EQ(ReadModelConfig(other)->name, "odd");
}

TEST(ConfigReader, AMissingFileOrFolderIsNamed) {
  const TempDir folder;
  EXPECT_EQ(Refusal(ReadModelConfig(folder.File("no.json"))),
            folder.File("no.json") + ": No such file or directory");
  EXPECT_EQ(Refusal(ReadModelConfig(folder.path())),
            folder.File("config.json") + ": No such file or directory");
}

TEST(ConfigReader, AFileThatNeverEndsIsRefusedInBoundedMemory) {
  EXPECT_THAT(Refusal(ReadModelConfig("/dev/zero")), HasSubstr("longer than 67108864 bytes"));
}

TEST(ConfigReader, SeesThatACheckpointIsStoredQuantised) {
  EXPECT_EQ(Parsed(SmallConfig())->quantization, std::nullopt);
  const auto quantised =
      Changed(SmallConfig(), {{"quantization_config", {{"quant_method", "fp8"}}}});
  EXPECT_EQ(Parsed(quantised)->quantization, "fp8");
  const TempDir folder;
  folder.Write("config.json", SmallConfig().dump());
  folder.Write("hf_quant_config.json", R"({"quantization": {"quant_algo": "NVFP4"}})");
  EXPECT_EQ(ReadModelConfig(folder.path())->quantization, "NVFP4");
  folder.Write("hf_quant_config.json", R"({"quantization": {"quant_algo": 4}})");
  EXPECT_THAT(Refusal(ReadModelConfig(folder.path())), HasSubstr("quantization.quant_algo=4"));
}

}  // namespace
}  // namespace plimsoll
