// Unique, stored and shown: the three counts of the published models.
#include "kvcache/sizing/stored_counts.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "tests/kvcache/model/config_texts.h"
#include "tests/kvcache/model/published_files.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using nlohmann::json;

// Elements of the checkpoints that hold more than the parameters, as the Hub counted them.
const std::map<std::string_view, int64_t> kStored = {
    {"openai-community/gpt2", 137022720},
    {"EleutherAI/gpt-neox-20b", 20739117584},
    {"tiiuae/falcon-7b", 7217189760},
    {"tiiuae/falcon-180B", 179522565120},
    {"meta-llama/Llama-2-7b-hf", 6738417664},
    {"meta-llama/Llama-2-13b-hf", 13015866880},
    {"Qwen/Qwen1.5-0.5B", 619570176},
    {"Qwen/Qwen3-0.6B", 751632384},
    {"Qwen/Qwen3-1.7B", 2031739904},
    {"Qwen/Qwen3-Next-80B-A3B-Instruct", 81324862720},
    {"google/gemma-3-4b-it", 4300079472},
    {"google/gemma-3-27b-it", 27432406640},
    {"deepseek-ai/DeepSeek-V3", 684489845504},
    {"deepseek-ai/DeepSeek-R1", 684489845504},
    {"THUDM/glm-4-9b", 9399951392},
};

// Every sum of `known` and some of the extras that only headers can tell.
std::set<int64_t> PossibleShown(const StoredCounts& counts) {
  std::set<int64_t> sums = {counts.unique};
  for (const StoredExtra& extra : counts.extras) {
    std::set<int64_t> with;
    if (!extra.on_hub) continue;
    for (const int64_t sum : sums) {
      with.insert(sum + extra.elements.value_or(0));
      if (!extra.certain) with.insert(sum);
    }
    sums = with;
  }
  return sums;
}

void ExpectShown(const PublishedModel& published, const ModelConfig& model) {
  const StoredCounts counts = CountsOf(model);
  const auto row = kStored.find(published.name);
  const int64_t shown = row == kStored.end() ? published.parameters : row->second;
  EXPECT_EQ(counts.unique, published.parameters);
  if (counts.hub) {
    EXPECT_EQ(*counts.hub, shown) << published.name;
  } else {
    EXPECT_EQ(PossibleShown(counts).count(shown), 1U) << published.name;
  }
}

TEST(StoredCounts, OfAllPublishedModelsAreRightOrSaidToBeUnknown) {
  size_t rows = 0;
  for (const PublishedModel& published : kPublishedModels) {
    ExpectShown(published, ModelNamed(published.name));
    rows += kStored.count(published.name);
  }
  for (const PublishedModel& published : kOtherPublishedModels) {
    ExpectShown(published, OtherModelNamed(published.name));
    rows += kStored.count(published.name);
  }
  EXPECT_EQ(rows, kStored.size());
}

// 41540496 scales of tiles, 702264 of them in the prediction block.
TEST(StoredCounts, OfDeepSeekV3WithItsScales) {
  const StoredCounts counts = CountsOf(OtherModelNamed("deepseek-ai/DeepSeek-V3"));
  EXPECT_EQ(counts.unique, 671026419200);
  EXPECT_EQ(counts.hub, 684489845504) << "with the prediction block";
  EXPECT_EQ(counts.stored, 684531386000) << "and with scales, as the Hub showed it before";
}

int64_t ScalesOf(ModelConfig model, std::vector<std::string> untouched = {}) {
  model.quantization = "fp8";
  model.storage = QuantizedStorage{
      .format = StorageFormat::kFp8Block, .group = 128, .untouched = std::move(untouched)};
  model.left_out.clear();
  for (const StoredExtra& extra : CountsOf(model).extras) {
    if (extra.what == "scales of quantised matrices") return *extra.elements;
  }
  return 0;
}

ModelConfig Qwen3Moe(int64_t layers, int64_t hidden, int64_t heads, int64_t kv_heads,
                     int64_t experts, int64_t width) {
  return *Parsed(Changed(SmallConfig("Qwen3MoeForCausalLM"), {{"num_hidden_layers", layers},
                                                              {"hidden_size", hidden},
                                                              {"num_attention_heads", heads},
                                                              {"num_key_value_heads", kv_heads},
                                                              {"head_dim", 128},
                                                              {"num_experts", experts},
                                                              {"num_experts_per_tok", 8},
                                                              {"moe_intermediate_size", width}}));
}

// Published checkpoints in tiles of fp8: Qwen3-30B-A3B, 235B-A22B, Coder-480B and Coder-Next.
TEST(StoredCounts, ScalesOfPublishedCheckpointsInFp8) {
  EXPECT_EQ(ScalesOf(ModelNamed("Qwen/Qwen3-30B-A3B")), 1824768);
  EXPECT_EQ(ScalesOf(Qwen3Moe(94, 4096, 64, 4, 128, 1536)), 14269952);
  EXPECT_EQ(ScalesOf(Qwen3Moe(62, 6144, 96, 8, 160, 2560)), 29188608);
  EXPECT_EQ(
      ScalesOf(OtherModelNamed("Qwen/Qwen3-Next-80B-A3B-Instruct"), {"linear_attn.in_proj_ba"}),
      4821504);
}

TEST(StoredCounts, OfGptOssArePackedNumbersAndTheirScales) {
  const StoredCounts counts = CountsOf(OtherModelNamed("openai/gpt-oss-120b"));
  EXPECT_EQ(counts.hub, counts.unique);
  const int64_t experts = int64_t{36} * 128 * 3 * 2880 * 2880;
  EXPECT_EQ(counts.stored, counts.unique - experts / 2 + experts / 32);
}

TEST(StoredCounts, ATiedHeadMayBeSavedTwice) {
  const StoredCounts counts = CountsOf(*Parsed(
      Changed(SmallConfig(), {{"tie_word_embeddings", true}, {"transformers_version", "4.44.0"}})));
  EXPECT_EQ(counts.stored, std::nullopt);
  EXPECT_EQ(counts.hub, std::nullopt);
  ASSERT_EQ(counts.extras.size(), 1U);
  EXPECT_EQ(counts.extras[0].elements, 100 * 64);
  EXPECT_FALSE(counts.extras[0].certain);
}

TEST(StoredCounts, OldVersionsSavedRotaryBuffers) {
  const auto known = [](const json& version) {
    return CountsOf(*Parsed(Changed(SmallConfig(), {{"transformers_version", version}})))
        .stored.has_value();
  };
  EXPECT_FALSE(known("4.31.0.dev0"));
  EXPECT_TRUE(known("4.32.0"));
  EXPECT_TRUE(known("5.0.0"));
  EXPECT_FALSE(known("absent")) << "it may be an old one";
  EXPECT_FALSE(known("dev"));
  EXPECT_FALSE(known(4)) << "not looked at";
}

TEST(StoredCounts, PartsOfUnknownSizeLeaveTheSumUnknown) {
  for (const PublishedFile& file : kPublishedFiles) {
    const ModelConfig model = *ParseModelConfig(file.model.config, "file");
    const StoredCounts counts = CountsOf(model);
    bool known = true;
    for (const StoredExtra& extra : counts.extras) known &= extra.certain && extra.elements;
    EXPECT_EQ(counts.stored.has_value(), known) << file.model.name;
    if (!known || model.storage) continue;
    EXPECT_EQ(*counts.stored, file.stored) << file.model.name;
  }
}

TEST(StoredCounts, AnArchitectureThatSeesHasATowerThoughTheFileDoesNotDescribeIt) {
  for (const PublishedFile& file : kPublishedFiles) {
    if (!file.model.name.starts_with("meta-llama/Llama-4")) continue;
    const StoredCounts counts = CountsOf(*ParseModelConfig(file.model.config, "scout"));
    EXPECT_EQ(counts.stored, std::nullopt);
    ASSERT_EQ(counts.extras.size(), 1U);
    EXPECT_FALSE(counts.extras[0].certain);
    EXPECT_EQ(counts.extras[0].elements, std::nullopt);
  }
}

TEST(StoredCounts, HeadersAreTheTruth) {
  ModelConfig model = *Parsed(Changed(SmallConfig(), {{"tie_word_embeddings", true}}));
  model.headers.emplace();
  model.headers->all.elements = model.Parameters() + 6400;
  model.headers->differences.push_back({.kind = HeaderDifference::Kind::kStoredTwice,
                                        .what = "lm_head.weight",
                                        .tensors = 1,
                                        .elements = 6400});
  const StoredCounts counts = CountsOf(model);
  EXPECT_EQ(counts.stored, model.Parameters() + 6400);
  ASSERT_EQ(counts.extras.size(), 1U);
  EXPECT_EQ(counts.extras[0].what, "lm_head.weight");
}

}  // namespace
}  // namespace plimsoll
