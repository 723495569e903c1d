// What quantization_config says of a checkpoint's storage, and when it says too little.
#include <gtest/gtest.h>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/config_texts.h"
#include "tests/support/temp_dir.h"

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
  const auto fixed = StorageOf({{"quant_method", "fp8"}, {"activation_scheme", "static"}});
  EXPECT_EQ(fixed->input_scale, 4) << "a scale of each matrix's inputs is stored";
  EXPECT_EQ(FormatOf({{"quant_method", "fp8"}, {"activation_scheme", "odd"}}), std::nullopt);
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
  EXPECT_FALSE(StorageOf(packed(int4))->zeros);
  EXPECT_TRUE(StorageOf(packed(Changed(int4, {{"symmetric", false}})))->zeros);
  EXPECT_TRUE(StorageOf(packed(Changed(int4, {{"actorder", "group"}})))->indices);
  EXPECT_FALSE(StorageOf(packed(Changed(int4, {{"actorder", "weight"}})))->indices);
  EXPECT_EQ(FormatOf(packed(Changed(int4, {{"actorder", "static"}}))), std::nullopt);
  EXPECT_EQ(StorageOf(packed(Changed(int4, {{"strategy", "channel"}})))->group, 0);
  EXPECT_EQ(FormatOf(packed(Changed(int8, {{"symmetric", false}}))), std::nullopt);
  const json grouped = Changed(int8, {{"strategy", "group"}, {"group_size", 64}});
  EXPECT_EQ(StorageOf(packed(grouped))->format, StorageFormat::kInt8Channel);
  EXPECT_EQ(StorageOf(packed(grouped))->group, 64);
  EXPECT_EQ(FormatOf(packed(Changed(int8, {{"type", "float"}, {"strategy", "tensor"}}))),
            StorageFormat::kFp8Tensor);
  EXPECT_EQ(FormatOf({{"quant_method", "compressed-tensors"}}), std::nullopt);
}

// The newest of the names under which files have it.
TEST(Quantization, VariantsAreKeptAsTheFileNamesThem) {
  const json gptq = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}};
  EXPECT_EQ(StorageOf(gptq)->variant, "");
  EXPECT_EQ(StorageOf(Changed(gptq, {{"checkpoint_format", "gptq_v2"}, {"format", "x"}}))->variant,
            "gptq_v2");
  EXPECT_EQ(
      StorageOf({{"quant_method", "awq"}, {"bits", 4}, {"group_size", 64}, {"version", "gemm"}})
          ->variant,
      "gemm");
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
}

using Names = std::vector<std::string>;

TEST(Quantization, NamesOfAllLayersBecomeOne) {
  const json fp8 = {{"quant_method", "fp8"},
                    {"modules_to_not_convert",
                     {"lm_head", "model.layers.0.mlp.gate_proj", "model.layers.0.self_attn",
                      "model.layers.1.mlp.gate_proj"}}};
  EXPECT_EQ(StorageOf(fp8)->untouched,
            (Names{"lm_head", "model.layers.*.mlp.gate_proj", "model.layers.0.self_attn"}));
}

Names UntouchedBy(const json& entries) {
  const auto storage = StorageOf({{"quant_method", "fp8"}, {"ignore", entries}});
  return storage ? storage->untouched : Names{"unknown"};
}

TEST(Quantization, ExpressionsAreResolvedAgainstTheModelsMatrices) {
  EXPECT_EQ(UntouchedBy({"re:.*down_proj"}), (Names{"model.layers.*.mlp.down_proj"}));
  EXPECT_EQ(UntouchedBy({"re:.*\\.(k|v)_proj$"}),
            (Names{"model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj"}));
  EXPECT_EQ(UntouchedBy({"re:model.layers.1.mlp.up.*"}), (Names{"model.layers.1.mlp.up_proj"}));
  EXPECT_EQ(UntouchedBy({"re:.*lm_head"}), Names()) << "left alone anyway";
  EXPECT_EQ(UntouchedBy({"re:down_proj"}), Names()) << "matched from the beginning";
  EXPECT_EQ(UntouchedBy({"re:(?!.*mlp).*"}), (Names{"unknown"}));
  EXPECT_EQ(UntouchedBy({"re:.*[abc]"}), (Names{"unknown"}));
  EXPECT_EQ(UntouchedBy({"re:" + std::string(300, 'a')}), (Names{"unknown"}));
}

TEST(Quantization, GroupsOfModulesMayHaveFormatsOfTheirOwn) {
  const json fp8 = {{"num_bits", 8}, {"type", "float"}, {"strategy", "channel"}};
  const json fp4 = {
      {"num_bits", 4}, {"type", "float"}, {"strategy", "tensor_group"}, {"group_size", 16}};
  const json groups = {{"group_0", {{"targets", {"Linear"}}, {"weights", fp8}}},
                       {"group_1",
                        {{"targets", {"re:.*mlp.*"}},
                         {"weights", fp4},
                         {"input_activations", {{"dynamic", "local"}}}}}};
  const auto storage =
      StorageOf({{"quant_method", "compressed-tensors"}, {"config_groups", groups}});
  ASSERT_TRUE(storage);
  EXPECT_EQ(storage->format, StorageFormat::kFp8Channel);
  ASSERT_EQ(storage->apart.size(), 1U);
  EXPECT_EQ(storage->apart[0].format, StorageFormat::kNvfp4);
  EXPECT_EQ(storage->apart[0].input_scale, 4);
  EXPECT_EQ(storage->apart[0].modules.size(), 3U);
  json twice = groups;
  twice["group_1"]["targets"] = {"Linear"};
  EXPECT_EQ(FormatOf({{"quant_method", "compressed-tensors"}, {"config_groups", twice}}),
            std::nullopt);
}

TEST(Quantization, ModelOptByItsAlgorithm) {
  const json nvfp4 = {{"quant_method", "modelopt"},
                      {"quant_algo", "NVFP4"},
                      {"exclude_modules", {"lm_head", "*layers.1.mlp*"}},
                      {"kv_cache_quant_algo", "FP8"}};
  const auto storage = StorageOf(nvfp4);
  ASSERT_TRUE(storage);
  EXPECT_EQ(storage->format, StorageFormat::kNvfp4);
  EXPECT_EQ(storage->input_scale, 4);
  EXPECT_EQ(storage->kv_scale, 4);
  EXPECT_EQ(storage->untouched,
            (Names{"lm_head", "model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj",
                   "model.layers.1.mlp.down_proj"}));
  EXPECT_EQ(FormatOf(Changed(nvfp4, {{"quant_algo", "FP8"}})), StorageFormat::kFp8Tensor);
  EXPECT_EQ(FormatOf(Changed(nvfp4, {{"quant_algo", "W4A8_AWQ"}})), std::nullopt);
}

TEST(Quantization, ModelOptInAFileOfItsOwn) {
  const TempDir folder;
  folder.Write("config.json", SmallConfig().dump());
  folder.Write("hf_quant_config.json", R"({"producer": {"name": "modelopt"}, "quantization":
      {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}})");
  const auto model = ReadModelConfig(folder.path());
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ(model->quantization, "FP8");
  EXPECT_EQ(model->storage->format, StorageFormat::kFp8Tensor);
  EXPECT_EQ(model->storage->input_scale, 4);
  EXPECT_EQ(model->kv_type, ElementType::kFp8);
}

TEST(Quantization, ModelOptModuleByModule) {
  const json layers = {{"model.layers.0.mlp.up_proj", {{"quant_algo", "NVFP4"}}},
                       {"model.layers.1.mlp.up_proj", {{"quant_algo", "FP8"}}}};
  const auto storage = StorageOf({{"quant_method", "modelopt"},
                                  {"quant_algo", "MIXED_PRECISION"},
                                  {"quantized_layers", layers}});
  ASSERT_TRUE(storage);
  EXPECT_FALSE(storage->rest);
  EXPECT_EQ(storage->apart.size(), 2U);
}

TEST(Quantization, ScalesOfKAndVNameTheirType) {
  const auto model = Parsed(
      Changed(SmallConfig(), {{"quantization_config",
                               {{"quant_method", "modelopt"},
                                {"quant_algo", "FP8"},
                                {"kv_cache_scheme", {{"num_bits", 8}, {"type", "float"}}}}}}));
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->kv_type, ElementType::kFp8);
  EXPECT_EQ(Parsed(SmallConfig())->kv_type, std::nullopt);
}

TEST(Quantization, AGroupOfMinusOneIsAWholeRow) {
  const json gptq = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", -1}};
  EXPECT_EQ(StorageOf(gptq)->group, 0);
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
