// What quantization_config says of a checkpoint's storage, and when it says too little.
#include <gtest/gtest.h>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

using nlohmann::json;

std::optional<QuantizedStorage> StorageOf(const json& quantization) {
  const auto model = Parsed(Changed(SmallConfig(), {{"quantization_config", quantization}}));
  EXPECT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ(model->quantization, quantization["quant_method"]);
  return model->storage;
}

std::optional<StorageFormat> FormatOf(const json& quantization) {
  const auto storage = StorageOf(quantization);
  return storage ? std::optional(storage->format) : std::nullopt;
}

TEST(Quantization, Fp8HasTilesOrOneScale) {
  const auto tiles = StorageOf({{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}});
  ASSERT_TRUE(tiles);
  EXPECT_EQ(tiles->format, StorageFormat::kFp8Block);
  EXPECT_EQ(tiles->group, 128);
  EXPECT_EQ(FormatOf({{"quant_method", "fp8"}}), StorageFormat::kFp8Tensor);
  EXPECT_EQ(FormatOf({{"quant_method", "fp8"}, {"activation_scheme", "static"}}), std::nullopt);
  EXPECT_EQ(FormatOf({{"quant_method", "fp8"}, {"weight_block_size", {128, 64}}}), std::nullopt);
}

TEST(Quantization, GptqAndAwqNeedFourBitsAndAGroup) {
  const json gptq = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}};
  EXPECT_EQ(StorageOf(gptq)->group, 128);
  EXPECT_EQ(FormatOf(gptq), StorageFormat::kGptq);
  EXPECT_EQ(FormatOf(Changed(gptq, {{"bits", 8}})), std::nullopt);
  EXPECT_EQ(FormatOf(Changed(gptq, {{"group_size", "absent"}})), std::nullopt);
  EXPECT_EQ(FormatOf({{"quant_method", "awq"}, {"w_bit", 4}, {"q_group_size", 64}}),
            StorageFormat::kAwq);
}

TEST(Quantization, CompressedTensorsByBitsAndStrategy) {
  const auto packed = [](const json& weights) {
    const json group = {{"targets", {"Linear"}}, {"weights", weights}};
    return json{{"quant_method", "compressed-tensors"}, {"config_groups", {{"group_0", group}}}};
  };
  const json int4 = {{"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", 128}};
  const json int8 = {{"num_bits", 8}, {"type", "int"}, {"strategy", "channel"}};
  EXPECT_EQ(FormatOf(packed(int4)), StorageFormat::kInt4Packed);
  EXPECT_EQ(FormatOf(packed(int8)), StorageFormat::kInt8Channel);
  EXPECT_EQ(FormatOf(packed(Changed(int8, {{"type", "float"}}))), StorageFormat::kFp8Channel);
  EXPECT_EQ(FormatOf(packed(Changed(int4, {{"symmetric", false}}))), std::nullopt);
  EXPECT_EQ(FormatOf(packed(Changed(int4, {{"actorder", "group"}}))), std::nullopt);
  EXPECT_EQ(FormatOf({{"quant_method", "compressed-tensors"}}), std::nullopt);
}

TEST(Quantization, BitsAndBytesByItsFlags) {
  json nf4 = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
  EXPECT_EQ(FormatOf(nf4), StorageFormat::kNf4);
  nf4["bnb_4bit_use_double_quant"] = true;
  EXPECT_EQ(FormatOf(nf4), StorageFormat::kNf4Double);
  EXPECT_EQ(FormatOf({{"quant_method", "bitsandbytes"}, {"load_in_8bit", true}}),
            StorageFormat::kInt8Outlier);
  EXPECT_EQ(FormatOf({{"quant_method", "bitsandbytes"}}), std::nullopt);
}

TEST(Quantization, AMethodThatIsNotKnownHasNoStorage) {
  EXPECT_EQ(FormatOf({{"quant_method", "hqq"}}), std::nullopt);
}

TEST(Quantization, ExceptionsAreKeptAndExpressionsNotGuessed) {
  const json fp8 = {{"quant_method", "fp8"}, {"modules_to_not_convert", {"lm_head", "gate"}}};
  EXPECT_EQ(StorageOf(fp8)->untouched, (std::vector<std::string>{"lm_head", "gate"}));
  EXPECT_EQ(FormatOf({{"quant_method", "fp8"}, {"ignore", {"re:.*down_proj"}}}), std::nullopt);
  EXPECT_EQ(FormatOf({{"quant_method", "fp8"}, {"ignore", {"re:.*lm_head"}}}),
            StorageFormat::kFp8Tensor);
}

TEST(Quantization, FieldsThatMakeNoSenseAreRefused) {
  const auto refusal = [](const json& quantization) {
    return Refusal(Parsed(Changed(SmallConfig(), {{"quantization_config", quantization}})));
  };
  EXPECT_EQ(refusal({{"quant_method", 8}}),
            "test: quantization_config.quant_method=8: want a string");
  EXPECT_EQ(refusal({{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 0}}),
            "test: quantization_config.group_size=0: want a whole number from 1 to 1048576");
}

}  // namespace
}  // namespace plimsoll
