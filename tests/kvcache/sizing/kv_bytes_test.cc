#include "kvcache/sizing/kv_bytes.h"

#include <gtest/gtest.h>

#include "tests/kvcache/model/other_published_models.h"
#include "tests/kvcache/model/published_files.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

void ExpectPublished(const PublishedModel& published) {
  const absl::StatusOr<ModelConfig> model = ParseModelConfig(published.config, "published");
  ASSERT_TRUE(model.ok()) << model.status().message();
  const KvBytes kv = KvBytesOf(*model, ElementType::kFp16);
  EXPECT_EQ(kv.per_token, Bytes(published.kv_per_token)) << published.name;
  EXPECT_EQ(kv.per_token_long, Bytes(published.kv_per_token_long)) << published.name;
  EXPECT_EQ(kv.window_per_sequence, Bytes(published.window_per_sequence)) << published.name;
  EXPECT_EQ(kv.state_per_sequence, Bytes(published.state_per_sequence)) << published.name;
}

TEST(KvBytes, AgreeWithEveryPublishedModel) {
  for (const PublishedModel& published : kPublishedModels) ExpectPublished(published);
  for (const PublishedModel& published : kOtherPublishedModels) ExpectPublished(published);
  for (const PublishedFile& file : kPublishedFiles) ExpectPublished(file.model);
}

TEST(KvBytes, OfLlama7BAtBatch64Times2048TokensAre64GiB) {
  const Bytes token = KvBytesOf(Llama7B(), ElementType::kFp16).per_token;
  EXPECT_EQ(token * 64 * 2048, Bytes(64 * kGiB));
  EXPECT_EQ(token * 1 * 2048, Bytes(1 * kGiB));
}

TEST(KvBytes, ScaleByKvHeadsOverHeads) {
  ModelConfig model = Llama7B();  // 32 heads
  const Bytes all_heads = KvBytesOf(model, ElementType::kFp16).per_token;
  for (const int64_t kv_heads : {1, 4, 8, 16}) {
    for (AttentionSpec& layer : model.attention) layer.kv_heads = kv_heads;
    EXPECT_EQ(KvBytesOf(model, ElementType::kFp16).per_token * 32, all_heads * kv_heads);
  }
}

// One head of 128: 128 elements of K and of V; int8 and int4 add 4 bytes to each.
TEST(KvBytes, QuantisedTypesCarryTheirScales) {
  const AttentionSpec layer = {.heads = 1, .kv_heads = 1, .head_dim = 128, .value_dim = 128};
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kFp32), Bytes(1024));
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kBf16), Bytes(512));
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kFp8), Bytes(256));
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kInt8), Bytes(2 * (128 + 4)));
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kInt4), Bytes(2 * (64 + 4)));
}

TEST(KvBytes, KAndVMayDifferInWidth) {
  const AttentionSpec layer = {.heads = 4, .kv_heads = 2, .head_dim = 192, .value_dim = 128};
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kBf16), Bytes(2 * (192 + 128) * 2));
}

// 512 of latent and 64 of rotated key, once for all 16 heads; int8 has one scale and zero for it.
TEST(KvBytes, ALatentIsKeptOnceForAllHeads) {
  AttentionSpec layer = {
      .heads = 16, .kv_heads = 16, .head_dim = 192, .value_dim = 128, .latent_dim = 576};
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kBf16), Bytes(1152));
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kInt8), Bytes(576 + 4));
  layer.index_dim = 128;
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kBf16), Bytes(1152 + 128 + 4));
  EXPECT_EQ(KvBytesOfLayer(layer, ElementType::kFp8), Bytes(576 + 128 + 4));
}

// Two layers: 30 columns of convolution and 70 of state each.
TEST(KvBytes, StatesHaveTheTypeOfKAndVUnlessTheFileNamesOne) {
  ModelConfig model;
  model.recurrent.assign(2, {.conv_elements = 30, .state_elements = 70});
  EXPECT_EQ(KvBytesOf(model, ElementType::kBf16).state_per_sequence, Bytes(2 * 100 * 2));
  EXPECT_EQ(KvBytesOf(model, ElementType::kFp32).state_per_sequence, Bytes(2 * 100 * 4));
  EXPECT_EQ(KvBytesOf(model, ElementType::kInt4).state_per_sequence, Bytes(2 * 100 * 2));
  for (RecurrentSpec& layer : model.recurrent) layer.state_type = ElementType::kFp32;
  EXPECT_EQ(KvBytesOf(model, ElementType::kBf16).state_per_sequence, Bytes(2 * (60 + 280)));
}

TEST(KvBytes, TheFormulaHasTheNumbersInIt) {
  EXPECT_EQ(KvBytesOf(Llama31(), ElementType::kBf16).formula,
            "2 x 32 layers x 8 kv heads x 256 bytes, head dim 128 in bf16");
  EXPECT_EQ(KvBytesOf(OtherModelNamed("deepseek-ai/DeepSeek-V2-Lite"), ElementType::kBf16).formula,
            "27 layers x (1152 bytes), latent 576 in bf16");
}

}  // namespace
}  // namespace plimsoll
