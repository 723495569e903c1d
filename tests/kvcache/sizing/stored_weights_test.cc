// Quantised checkpoints, byte for byte. Llama-3.1-8B has 6979321856 elements in matrices and
// 1050939392 that every format leaves in 16 bits.
#include <gtest/gtest.h>

#include <string>

#include "kvcache/sizing/weight_format.h"
#include "tests/kvcache/model/published_files.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

Bytes StoredLlama(const QuantizedStorage& storage) {
  return WeightBytesOf(Llama31(), storage).total;
}

TEST(StoredWeights, OfLlama31InEveryFormat) {
  const std::pair<QuantizedStorage, int64_t> table[] = {
      {{.format = StorageFormat::kGptq, .group = 128}, 5732835328},
      {{.format = StorageFormat::kAwq, .group = 128}, 5727854592},
      {{.format = StorageFormat::kInt4Packed, .group = 128}, 5700595200},
      {{.format = StorageFormat::kInt8Channel}, 9083953152},
      {{.format = StorageFormat::kFp8Channel}, 9083953152},
      {{.format = StorageFormat::kFp8Tensor}, 9081201536},
      {{.format = StorageFormat::kFp8Block, .group = 128}, 9082904576},
      {{.format = StorageFormat::kNf4}, 6027761664},
      {{.format = StorageFormat::kNf4Double}, 5702539264},
      {{.format = StorageFormat::kInt8Outlier}, 9086705664}};
  for (const auto& [storage, bytes] : table) {
    EXPECT_EQ(StoredLlama(storage), Bytes(bytes)) << NameOf(storage);
  }
}

// 256 inputs and 3 outputs: 768 elements.
TEST(StoredWeights, OfOneSmallMatrixAsByHand) {
  const auto bytes = [](StorageFormat format, int64_t group = 0) {
    return StoredMatrixBytes({.format = format, .group = group}, 3, 256).value();
  };
  EXPECT_EQ(bytes(StorageFormat::kFp8Tensor), 768 + 4);
  EXPECT_EQ(bytes(StorageFormat::kFp8Block, 128), 768 + 4 * 2);
  EXPECT_EQ(bytes(StorageFormat::kInt4Packed, 128), 384 + 2 * 3 * 2 + 16);
  EXPECT_EQ(bytes(StorageFormat::kGptq, 128), 384 + 3 + 2 * 3 * 2 + 4 * 256);
  EXPECT_EQ(bytes(StorageFormat::kAwq, 128), 384 + 3 + 2 * 3 * 2);
  EXPECT_EQ(bytes(StorageFormat::kMxfp4), 384 + 768 / 32);
  EXPECT_EQ(bytes(StorageFormat::kNvfp4), 384 + 768 / 16 + 4);
  EXPECT_EQ(bytes(StorageFormat::kNf4), 384 + 4 * 12 + 64);
  EXPECT_EQ(bytes(StorageFormat::kNf4Double), 384 + 12 + 4 + 64 + 1024);
}

// The published checkpoint of gpt-oss-120b, to the byte.
TEST(StoredWeights, OfGptOss) {
  const ModelConfig model = OtherModelNamed("openai/gpt-oss-120b");
  EXPECT_EQ(WeightBytesOf(model, *model.storage).total, Bytes(65248815744));
}

// The Hub counts 228703644928 elements of MiniMax-M2, of which 13880064 are scales of tiles.
TEST(StoredWeights, OfAModelInTilesOfFp8) {
  for (const PublishedFile& file : kPublishedFiles) {
    if (file.model.name != "MiniMaxAI/MiniMax-M2.5") continue;
    const ModelConfig model = *ParseModelConfig(file.model.config, "minimax");
    ASSERT_TRUE(model.storage);
    EXPECT_EQ(NameOf(*model.storage), "fp8-block");
    int64_t matrices = 0;
    for (const TensorSpec& tensor : model.tensors) {
      if (IsMatrix(tensor.role)) matrices += tensor.Elements();
    }
    EXPECT_EQ(WeightBytesOf(model, *model.storage).total,
              Bytes(matrices + 4 * 13880064 + 2 * (model.Parameters() - matrices)));
  }
}

// The checkpoint has 688574839360 bytes, 15424227552 of them in its prediction block: 11505434624
// in fp8 with 702264 scales, 1957991424 in 16 bits, 256 in fp32.
TEST(StoredWeights, OfDeepSeekV3) {
  const ModelConfig model = OtherModelNamed("deepseek-ai/DeepSeek-V3");
  EXPECT_EQ(WeightBytesOf(model, *model.storage).total, Bytes(688574839360 - 15424227552));
}

// By how much more than in tiles everything takes whose matrices are left in 16 bits.
int64_t ElementsLeftAlone(const std::string& module) {
  QuantizedStorage storage{.format = StorageFormat::kFp8Tensor};
  const Bytes before = StoredLlama(storage);
  storage.untouched = {module};
  return (StoredLlama(storage) - before).value();
}

TEST(StoredWeights, ExceptionsAreModulesTheirEndsOrWhatHoldsThem) {
  const int64_t down = 14336 * 4096 - 4;  // one byte more an element, and no scale
  EXPECT_EQ(ElementsLeftAlone("model.layers.3.mlp.down_proj"), down);
  EXPECT_EQ(ElementsLeftAlone("mlp.down_proj"), 32 * down);
  EXPECT_EQ(ElementsLeftAlone("down_proj"), 32 * down);
  EXPECT_EQ(ElementsLeftAlone("model.layers.*.mlp.down_proj"), 32 * down);
  EXPECT_EQ(ElementsLeftAlone("model.layers.31.mlp"), 3 * down);
  EXPECT_EQ(ElementsLeftAlone("model.layers.32.mlp"), 0) << "there is no such layer";
  EXPECT_EQ(ElementsLeftAlone("down"), 0) << "no part of a name";
  EXPECT_EQ(ElementsLeftAlone("lm_head"), 0) << "left alone anyway";
}

TEST(StoredWeights, AnExceptionNamedTwiceCountsOnce) {
  QuantizedStorage storage{.format = StorageFormat::kFp8Tensor,
                           .untouched = {"model.layers.3.mlp"}};
  const Bytes once = StoredLlama(storage);
  storage.untouched.push_back("model.layers.3.mlp.up_proj");
  EXPECT_EQ(StoredLlama(storage), once);
}

}  // namespace
}  // namespace plimsoll
