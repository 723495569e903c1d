#include "kvcache/sizing/cache_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kvcache/sizing/kv_bytes.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

constexpr ElementType kHeld[] = {ElementType::kFp32, ElementType::kFp16, ElementType::kBf16,
                                 ElementType::kFp8,  ElementType::kInt8, ElementType::kInt4};

// Two layers of different shape: 3 kv heads of 4, then 1 kv head of 8; fp16, 2 tokens a block.
ModelConfig Uneven() {
  ModelConfig model;
  model.attention = {{.heads = 3, .kv_heads = 3, .head_dim = 4, .value_dim = 4},
                     {.heads = 2, .kv_heads = 1, .head_dim = 8, .value_dim = 8}};
  return model;
}

TEST(CacheLayout, LayersLieBackToBack) {
  const absl::StatusOr<CacheLayout> layout =
      CacheLayoutFor(Uneven(), ElementType::kFp16, Tokens(2));
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->layers[0].offset, Bytes(0));
  EXPECT_EQ(layout->layers[0].row_bytes, Bytes(8));
  EXPECT_EQ(layout->layers[0].kv_bytes, Bytes(16));
  EXPECT_EQ(layout->layers[0].head_bytes, Bytes(32));
  EXPECT_EQ(layout->layers[1].offset, Bytes(96));
  EXPECT_EQ(layout->layers[1].head_bytes, Bytes(64));
  EXPECT_EQ(layout->block_bytes, Bytes(160));
}

TEST(CacheLayout, Llama31HasBlocksOfTwoMebibytes) {
  EXPECT_EQ(CacheLayoutFor(Llama31(), ElementType::kBf16, Tokens(16))->block_bytes, Bytes(2097152));
}

// The layout and the formula are told the same thing in two ways.
TEST(CacheLayout, ABlockIsItsTokensTimesTheBytesOfOne) {
  for (const PublishedModel& published : kPublishedModels) {
    const ModelConfig model = ModelNamed(published.name);
    for (const ElementType type : kHeld) {
      for (const int64_t tokens : {1, 16, 1024}) {
        EXPECT_EQ(CacheLayoutFor(model, type, Tokens(tokens))->block_bytes,
                  KvBytesOf(model, type).per_token * tokens)
            << published.name;
      }
    }
  }
}

// The same two layers in int4: heads of 4 take 2 bytes a row and 4 a word.
TEST(CacheLayout, WordsFollowTheRowsOfTheirLayer) {
  const CacheLayout layout = *CacheLayoutFor(Uneven(), ElementType::kInt4, Tokens(2));
  EXPECT_EQ(layout.layers[0].row_bytes, Bytes(2));
  EXPECT_EQ(layout.layers[0].scales, Bytes(3 * 2 * 2 * 2));
  EXPECT_EQ(layout.layers[1].offset, Bytes(24 + 3 * 2 * 2 * 4));
  EXPECT_EQ(layout.layers[1].scales, layout.layers[1].offset + Bytes(2 * 2 * 4));
  EXPECT_EQ(layout.block_bytes, layout.layers[1].scales + Bytes(2 * 2 * 4));
}

// Every row and word of every token, head and layer: no two overlap, and together they fill the
// block.
TEST(CacheLayout, EveryByteOfABlockBelongsToOneRowOrWord) {
  for (const ElementType type : kHeld) {
    SCOPED_TRACE(NameOf(type));
    const CacheLayout layout = *CacheLayoutFor(Uneven(), type, Tokens(4));
    std::vector<int> owners(static_cast<size_t>(layout.block_bytes.value()), 0);
    const auto own = [&](Bytes first, Bytes count) {
      for (int64_t byte = 0; byte < count.value(); ++byte) {
        ++owners.at(static_cast<size_t>(first.value() + byte));
      }
    };
    for (const LayerLayout& layer : layout.layers) {
      Bytes word = layer.scales;
      for (int64_t head = 0; head < layer.kv_heads; ++head) {
        for (int64_t kv = 0; kv < 2; ++kv) {
          for (int64_t token = 0; token < 4; ++token) {
            own(layer.offset + layer.head_bytes * head + layer.kv_bytes * kv +
                    layer.row_bytes * token,
                layer.row_bytes);
            own(word, ScaleBytesOf(type));
            word += ScaleBytesOf(type);
          }
        }
      }
    }
    EXPECT_THAT(owners, testing::Each(1));
  }
}

TEST(CacheLayout, RefusesBlocksThatAreNoPowerOfTwo) {
  for (const int64_t tokens : {0, 3, 17, 2048}) {
    const absl::Status status =
        CacheLayoutFor(Uneven(), ElementType::kBf16, Tokens(tokens)).status();
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("block_tokens=" + std::to_string(tokens) + ": want a power of two"));
  }
}

TEST(CacheLayout, RefusesTypesThatThePoolCannotHold) {
  const absl::Status status = CacheLayoutFor(Uneven(), ElementType::kTf32, Tokens(16)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("kv=tf32: want fp32, fp16, bf16, fp8"));
}

}  // namespace
}  // namespace plimsoll
