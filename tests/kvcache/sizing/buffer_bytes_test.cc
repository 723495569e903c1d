#include "kvcache/sizing/buffer_bytes.h"

#include <gtest/gtest.h>

#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

TEST(Buffers, InputOf13BAt1024TokensIn16BitsIs10MiB) {
  const ModelConfig model = ModelNamed("meta-llama/Llama-2-13b-hf");  // hidden 5120
  EXPECT_EQ(HiddenStateBytes(model, ElementType::kFp16, Tokens(1024)).bytes, Bytes(10 * kMiB));
  EXPECT_EQ(HiddenStateBytes(model, ElementType::kFp32, Tokens(1024)).bytes, Bytes(20 * kMiB));
  EXPECT_EQ(HiddenStateBytes(model, ElementType::kInt4, Tokens(1024)).bytes, Bytes(10 * kMiB));
}

TEST(Buffers, LogitsAreFourBytesAWord) {
  EXPECT_EQ(LogitBytes(Llama31(), 256).bytes, Bytes(256 * 128256 * 4));
}

// Llama-3.1-8B: d 4096, H 32, Hkv 8, D 128, F 14336, two bytes.
TEST(Buffers, ActivationsFollowTheFormula) {
  const int64_t d = 4096, heads = 32, kv = 8, head_dim = 128, f = 14336, e = 2;
  const int64_t token =
      4 * d + e * d + e * (heads + 2 * kv) * head_dim + e * heads * head_dim + e * 2 * f + e * f;
  EXPECT_EQ(ActivationBytes(Llama31(), ElementType::kBf16, Tokens(2048)).bytes,
            Bytes(2048 * token));
}

TEST(Buffers, ExpertsOfATokenCountTogether) {
  ModelConfig mixtral = ModelNamed("mistralai/Mixtral-8x7B-v0.1");
  EXPECT_EQ(mixtral.widest_ffn, 2 * 14336);
  const Bytes two = ActivationBytes(mixtral, ElementType::kBf16, Tokens(1)).bytes;
  mixtral.widest_ffn = 14336;
  const Bytes one = ActivationBytes(mixtral, ElementType::kBf16, Tokens(1)).bytes;
  EXPECT_EQ(two - one, Bytes(2 * 3 * 14336));
}

TEST(Buffers, OnlyQuantisedWeightsAreDequantised) {
  EXPECT_EQ(DequantisationBytes(Llama31(), ElementType::kBf16).bytes, Bytes(0));
  EXPECT_EQ(DequantisationBytes(Llama31(), ElementType::kInt4).bytes, Bytes(32 * kMiB));
  const ModelConfig small = ModelNamed("HuggingFaceTB/SmolLM2-135M");
  EXPECT_EQ(DequantisationBytes(small, ElementType::kInt8).bytes, Bytes(2 * 576 * 1536));
}

}  // namespace
}  // namespace plimsoll
