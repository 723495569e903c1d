// Quantised checkpoints, byte for byte. Llama-3.1-8B has 6979321856 elements in matrices and
// 1050939392 that every format leaves in 16 bits.
#include <gtest/gtest.h>

#include <string>

#include "kvcache/sizing/weight_format.h"
#include "kvcache/sizing/weight_layout.h"
#include "tests/kvcache/model/config_texts.h"
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

// The same matrix as the engine holds it: bytes and words of its own, whatever the file had.
TEST(StoredWeights, TheEngineHoldsNumbersWithAScaleOrAWordAGroup) {
  const auto bytes = [](const QuantizedStorage& storage) {
    const auto held = EngineStorageOf(storage);
    return held ? StoredMatrixBytes(*held, 3, 256).value() : 0;
  };
  const std::string packed = "pack-quantized";
  EXPECT_EQ(bytes({.format = StorageFormat::kGptq, .group = 128}), 384 + 4 * 3 * 2);
  EXPECT_EQ(bytes({.format = StorageFormat::kAwq, .group = 64}), 384 + 4 * 3 * 4);
  EXPECT_EQ(bytes({.format = StorageFormat::kInt4Packed, .variant = packed}), 384 + 4 * 3);
  EXPECT_EQ(bytes({.format = StorageFormat::kInt8Channel, .variant = packed}), 768 + 2 * 3);
  EXPECT_EQ(bytes({.format = StorageFormat::kInt8Channel, .group = 128, .variant = packed}),
            768 + 2 * 3 * 2);
  EXPECT_EQ(bytes({.format = StorageFormat::kInt8Channel}), 0) << "not packed: not read";
  EXPECT_EQ(bytes({.format = StorageFormat::kGptq, .variant = "marlin"}), 0);
  EXPECT_EQ(bytes({.format = StorageFormat::kNf4}), 0);
  EXPECT_EQ(StoredMatrixBytes({.format = StorageFormat::kInt8Channel, .variant = packed}, 3, 256),
            Bytes(768 + 2 * 3 + 16));
}

// The published checkpoints of gpt-oss, to the byte.
TEST(StoredWeights, OfGptOss) {
  const ModelConfig small = *Parsed({{"architectures", {"GptOssForCausalLM"}},
                                     {"hidden_size", 2880},
                                     {"intermediate_size", 2880},
                                     {"num_hidden_layers", 24},
                                     {"num_attention_heads", 64},
                                     {"num_key_value_heads", 8},
                                     {"head_dim", 64},
                                     {"num_local_experts", 32},
                                     {"num_experts_per_tok", 4},
                                     {"vocab_size", 201088},
                                     {"max_position_embeddings", 131072},
                                     {"tie_word_embeddings", false},
                                     {"torch_dtype", "bfloat16"},
                                     {"quantization_config", {{"quant_method", "mxfp4"}}}});
  EXPECT_EQ(WeightBytesOf(small, *small.storage).total, Bytes(13761264768));
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

// A published 4-bit checkpoint of the 8B has 1052315648 elements in 16 bits: those that stay, and
// one scale for each of 1376256 rows.
TEST(StoredWeights, PackedWithOneScaleARow) {
  const Bytes rows = StoredLlama({.format = StorageFormat::kInt4Packed});
  const int64_t packed = 6979321856 / 2;
  EXPECT_EQ(rows, Bytes(packed + 2 * int64_t{1052315648} + 32 * 7 * 16));
}

// One of the 70B has 6225920 indices of groups, in 4 bytes each.
TEST(StoredWeights, PackedWithIndicesOfGroups) {
  const ModelConfig model = *Parsed(Changed(SmallConfig(), {{"hidden_size", 8192},
                                                            {"intermediate_size", 28672},
                                                            {"num_hidden_layers", 80},
                                                            {"num_attention_heads", 64},
                                                            {"num_key_value_heads", 8}}));
  const auto bytes = [&](bool indices) {
    return WeightBytesOf(model, QuantizedStorage{.format = StorageFormat::kInt4Packed,
                                                 .group = 128,
                                                 .indices = indices})
        .total;
  };
  EXPECT_EQ(bytes(true) - bytes(false), Bytes(4 * 6225920));
}

TEST(StoredWeights, ZeroPointsAreHalfAByteAScale) {
  const auto bytes = [](bool zeros) {
    return StoredLlama({.format = StorageFormat::kInt4Packed, .group = 128, .zeros = zeros});
  };
  EXPECT_EQ(bytes(true) - bytes(false), Bytes(6979321856 / 128 / 2));
}

TEST(StoredWeights, ScalesOfInputsAndOfKAndVAreCounted) {
  const QuantizedStorage plain{.format = StorageFormat::kFp8Tensor};
  QuantizedStorage scaled = plain;
  scaled.input_scale = 4;
  EXPECT_EQ(StoredLlama(scaled) - StoredLlama(plain), Bytes(32 * 7 * 4));
  scaled.kv_scale = 4;
  EXPECT_EQ(StoredLlama(scaled) - StoredLlama(plain), Bytes(32 * 7 * 4 + 32 * 2 * 4));
}

// The 32 matrices that go down have 4096 x 14336 elements each.
TEST(StoredWeights, ModulesMayBeStoredApart) {
  const QuantizedStorage fp8{.format = StorageFormat::kFp8Tensor};
  QuantizedStorage mixed = fp8;
  mixed.apart = {{.format = StorageFormat::kNvfp4, .modules = {"down_proj"}}};
  const int64_t down = int64_t{4096} * 14336;
  EXPECT_EQ(StoredLlama(fp8) - StoredLlama(mixed), Bytes(32 * (down / 2 - down / 16)));
  EXPECT_EQ(NameOf(mixed), "fp8+nvfp4");
  mixed.rest = false;
  EXPECT_EQ(StoredLlama(mixed),
            Bytes(2 * (8030261248 - 32 * down) + 32 * (down / 2 + down / 16 + 4)));
  EXPECT_EQ(NameOf(mixed), "nvfp4");
}

TEST(StoredWeights, KernelsThatRepackGoWithoutIndices) {
  const WeightBytes gptq =
      WeightBytesOf(Llama31(), QuantizedStorage{.format = StorageFormat::kGptq, .group = 128});
  const int64_t inputs = 32 * (6 * 4096 + 14336);
  EXPECT_EQ(gptq.total - gptq.resident, Bytes(4 * inputs));
  const WeightBytes awq =
      WeightBytesOf(Llama31(), QuantizedStorage{.format = StorageFormat::kAwq, .group = 128});
  EXPECT_EQ(awq.total, awq.resident);
}

// Parts of a model add up to it: half of each matrix's rows, twice; layers one by one.
TEST(StoredWeights, PartsAddUp) {
  const ModelConfig model = Llama31();
  for (const char* const name : {"bf16", "int4", "fp8-block", "awq-g128", "q4_k_m"}) {
    const WeightLayout layout(model, WeightFormatFromName(name));
    WeightSum sum;
    for (const TensorSpec& tensor : model.tensors) {
      std::vector<int64_t> half = tensor.shape;
      half[0] /= 2;
      for (const int32_t layer : tensor.layers) {
        const std::vector<int32_t> one = {layer};
        for (int i = 0; i < 2; ++i) layout.Add(tensor, {.shape = half, .layers = one}, sum);
      }
      if (tensor.layers.empty()) layout.Add(tensor, TensorPart::Whole(tensor), sum);
    }
    EXPECT_EQ(sum.total(), layout.Whole().total()) << name;
  }
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
