// Headers beside a configuration: what agrees, and each way in which they do not.
#include "kvcache/model/header_match.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "kvcache/model/checkpoint_names.h"
#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

using Kind = HeaderDifference::Kind;
using nlohmann::json;
using testing::HasSubstr;

StoredTensor Stored(const std::string& dtype, const std::vector<int64_t>& shape) {
  StoredTensor tensor{.dtype = dtype, .shape = shape, .offset = 0, .bytes = Bytes(0)};
  tensor.bytes = Bytes(tensor.Elements() * *BitsOfDtype(dtype) / 8);
  return tensor;
}

void Replace(std::string& text, const std::string& what, int64_t number) {
  const size_t at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), std::to_string(number));
}

// The checkpoint that the configuration calls for, tensor by tensor.
StoredTensors CheckpointOf(const ModelConfig& model, const std::string& dtype = "F16") {
  StoredTensors all;
  for (const TensorSpec& spec : model.tensors) {
    const bool apart = spec.name.find("{expert}") != std::string::npos;
    std::vector<int32_t> layers = spec.layers;
    if (layers.empty()) layers.push_back(0);
    for (const int32_t layer : layers) {
      for (int64_t expert = 0; expert < (apart ? spec.experts : 1); ++expert) {
        std::string name = spec.name;
        Replace(name, "{layer}", layer);
        Replace(name, "{expert}", expert);
        std::vector<int64_t> shape(spec.shape.begin(), spec.shape.end());
        if (!apart && spec.experts > 1) shape.insert(shape.begin(), spec.experts);
        all.emplace(name, Stored(dtype, shape));
      }
    }
  }
  return all;
}

ModelConfig ModelOf(const json& changes = json::object(),
                    const std::string& architecture = "LlamaForCausalLM") {
  const absl::StatusOr<ModelConfig> model = Parsed(Changed(SmallConfig(architecture), changes));
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

const HeaderDifference* Difference(const ModelConfig& model, Kind kind) {
  for (const HeaderDifference& each : model.headers->differences) {
    if (each.kind == kind) return &each;
  }
  return nullptr;
}

Bytes StoredBytesOf(const ModelConfig& model) {
  Bytes sum;
  for (const TensorSpec& tensor : model.tensors) sum += tensor.stored_bytes.value_or(Bytes(0));
  return sum;
}

// Every architecture's own checkpoint, as its family describes it, agrees with it.
TEST(HeaderMatch, TheCheckpointThatAConfigurationCallsForAgrees) {
  for (const char* const architecture :
       {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "GemmaForCausalLM",
        "Gemma2ForCausalLM", "Phi3ForCausalLM", "GPTNeoXForCausalLM", "BloomForCausalLM"}) {
    SCOPED_TRACE(architecture);
    ModelConfig model = ModelOf({}, architecture);
    const int64_t parameters = model.Parameters();
    MatchHeaders(CheckpointOf(model), 1, model);
    EXPECT_TRUE(model.headers->differences.empty())
        << model.headers->differences[0].what << NameOf(model.headers->differences[0].kind);
    EXPECT_TRUE(model.headers->agrees());
    EXPECT_EQ(model.headers->parameters, parameters);
    EXPECT_EQ(model.headers->all.elements, parameters);
    EXPECT_EQ(model.headers->loaded.bytes, Bytes(2 * parameters));
    EXPECT_EQ(StoredBytesOf(model), Bytes(2 * parameters));
    EXPECT_EQ(model.StoredParameters(), parameters);
  }
}

TEST(HeaderMatch, ExpertsAreFoundOneByOneAndAllInOne) {
  ModelConfig apart =
      ModelOf({{"num_local_experts", 4}, {"num_experts_per_tok", 2}}, "MixtralForCausalLM");
  MatchHeaders(CheckpointOf(apart), 1, apart);
  EXPECT_TRUE(apart.headers->differences.empty());
  ModelConfig fused =
      ModelOf({{"num_local_experts", 4}, {"num_experts_per_tok", 2}, {"head_dim", 16}},
              "GptOssForCausalLM");
  MatchHeaders(CheckpointOf(fused), 1, fused);
  EXPECT_TRUE(fused.headers->differences.empty());
  EXPECT_EQ(fused.headers->parameters, fused.Parameters());
}

// The way to the language model differs between checkpoints of one architecture.
TEST(HeaderMatch, NamesAreComparedWithoutTheirLead) {
  for (const char* const lead : {"", "language_model.model.", "model.language_model."}) {
    ModelConfig model = ModelOf();
    StoredTensors renamed;
    for (const auto& [name, tensor] : CheckpointOf(model)) {
      renamed.emplace(name.starts_with("model.") ? lead + name.substr(6) : name, tensor);
    }
    MatchHeaders(renamed, 1, model);
    EXPECT_TRUE(model.headers->differences.empty()) << lead;
  }
  EXPECT_EQ(WithoutLead("model.vision_tower.model.x"), "vision_tower.model.x");
}

TEST(HeaderMatch, AMissingTensorIsNamedWithHowManyAreMissing) {
  ModelConfig model = ModelOf();
  StoredTensors stored = CheckpointOf(model);
  stored.erase("model.layers.0.mlp.up_proj.weight");
  stored.erase("model.layers.1.mlp.up_proj.weight");
  MatchHeaders(stored, 1, model);
  EXPECT_FALSE(model.headers->agrees());
  const HeaderDifference* const missing = Difference(model, Kind::kMissing);
  ASSERT_NE(missing, nullptr);
  EXPECT_EQ(missing->what, "model.layers.{layer}.mlp.up_proj.weight");
  EXPECT_EQ(missing->tensors, 2);
  EXPECT_EQ(missing->elements, 2 * 96 * 64);
  EXPECT_EQ(model.headers->parameters, model.Parameters() - 2 * 96 * 64);
  EXPECT_EQ(model.headers->expected_parameters, model.Parameters());
}

TEST(HeaderMatch, UnexpectedTensorsAreCountedByNameAndNotLoaded) {
  ModelConfig model = ModelOf();
  StoredTensors stored = CheckpointOf(model);
  stored.emplace("model.layers.0.mlp.extra.weight", Stored("F16", {8}));
  stored.emplace("model.layers.1.mlp.extra.weight", Stored("F16", {8}));
  MatchHeaders(stored, 1, model);
  EXPECT_FALSE(model.headers->agrees());
  ASSERT_EQ(model.headers->differences.size(), 1u);
  EXPECT_EQ(model.headers->differences[0].what, "model.layers.0.mlp.extra.weight");
  EXPECT_EQ(model.headers->differences[0].tensors, 2);
  EXPECT_EQ(model.headers->all.bytes - model.headers->loaded.bytes, Bytes(32));
}

TEST(HeaderMatch, AnotherShapeIsReportedWithBoth) {
  ModelConfig model = ModelOf();
  StoredTensors stored = CheckpointOf(model);
  stored["model.layers.1.mlp.up_proj.weight"] = Stored("F16", {128, 64});
  MatchHeaders(stored, 1, model);
  const HeaderDifference* const shape = Difference(model, Kind::kOtherShape);
  ASSERT_NE(shape, nullptr);
  EXPECT_EQ(shape->what, "model.layers.1.mlp.up_proj.weight: [128, 64] and not [96, 64]");
  // The bytes are the file's, kept apart for the layer that has other ones.
  EXPECT_EQ(StoredBytesOf(model), model.headers->loaded.bytes);
  EXPECT_EQ(std::count_if(model.tensors.begin(), model.tensors.end(),
                          [](const TensorSpec& tensor) {
                            return tensor.name == "model.layers.{layer}.mlp.up_proj.weight" &&
                                   tensor.layers.size() == 1;
                          }),
            2);
}

TEST(HeaderMatch, AMatrixStoredTheOtherWayRoundIsNoDifference) {
  ModelConfig model = ModelOf();
  StoredTensors stored = CheckpointOf(model);
  stored["model.layers.1.mlp.up_proj.weight"] = Stored("F16", {64, 96});
  MatchHeaders(stored, 1, model);
  EXPECT_TRUE(model.headers->agrees());
}

TEST(HeaderMatch, AnotherTypeIsReportedAndItsBytesCount) {
  ModelConfig model = ModelOf();  // says float16
  MatchHeaders(CheckpointOf(model, "F32"), 2, model);
  const HeaderDifference* const type = Difference(model, Kind::kOtherType);
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(type->what, "F32 and not F16");
  EXPECT_EQ(model.headers->loaded.bytes, Bytes(4 * model.Parameters()));
  EXPECT_EQ(model.headers->files, 2);
}

TEST(HeaderMatch, ATiedHeadThatIsStoredTwiceIsNamedAndNotLoaded) {
  ModelConfig model = ModelOf({{"tie_word_embeddings", true}});
  StoredTensors stored = CheckpointOf(model);
  stored.emplace("lm_head.weight", Stored("F16", {100, 64}));
  MatchHeaders(stored, 1, model);
  ASSERT_EQ(model.headers->differences.size(), 1u);
  EXPECT_EQ(model.headers->differences[0].kind, Kind::kStoredTwice);
  EXPECT_EQ(model.headers->differences[0].elements, 6400);
  EXPECT_TRUE(model.headers->agrees());
  EXPECT_EQ(model.headers->loaded.elements, model.Parameters());
  EXPECT_EQ(model.StoredParameters(), model.Parameters() + 6400);
}

TEST(HeaderMatch, KnownExtrasAreLeftOutByName) {
  ModelConfig model = ModelOf();
  StoredTensors stored = CheckpointOf(model);
  stored.emplace("visual.blocks.0.attn.qkv.weight", Stored("F16", {3, 4}));
  stored.emplace("model.vision_tower.x", Stored("F16", {5}));
  stored.emplace("model.layers.2.mlp.up_proj.weight", Stored("F16", {96, 64}));
  stored.emplace("mtp.fc.weight", Stored("F16", {7}));
  stored.emplace("model.layers.0.self_attn.rotary_emb.inv_freq", Stored("F32", {8}));
  stored.emplace("model.layers.1.attn.masked_bias", Stored("F32", {}));
  MatchHeaders(stored, 1, model);
  EXPECT_TRUE(model.headers->agrees());
  std::map<std::string, int64_t> left;
  for (const LeftOut& part : model.left_out) left[part.part] = *part.elements;
  EXPECT_EQ(left, (std::map<std::string, int64_t>{{"vision tower", 17},
                                                  {"prediction block", 96 * 64 + 7},
                                                  {"rotary buffers", 8},
                                                  {"causal masks", 1}}));
  EXPECT_EQ(model.headers->loaded.elements, model.Parameters());
}

// Replaces each matrix of the layers by `parts` of it, whose names end so.
StoredTensors Quantised(const ModelConfig& model,
                        const std::vector<std::pair<std::string, StoredTensor>>& parts) {
  StoredTensors stored;
  for (const auto& [name, tensor] : CheckpointOf(model)) {
    const bool matrix = name.find("_proj.weight") != std::string::npos;
    if (!matrix) stored.emplace(name, tensor);
    const std::string stem = name.substr(0, name.size() - std::string("weight").size());
    for (const auto& [ending, part] : parts) {
      if (matrix) stored.emplace(stem + ending, part);
    }
  }
  return stored;
}

TEST(HeaderMatch, PartsOfQuantisedMatricesAreLoadedWithThem) {
  const json gptq = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}};
  ModelConfig model = ModelOf({{"quantization_config", gptq}});
  const StoredTensors stored = Quantised(model, {{"qweight", Stored("I32", {8, 64})},
                                                 {"qzeros", Stored("I32", {1, 8})},
                                                 {"scales", Stored("F16", {1, 64})},
                                                 {"g_idx", Stored("I32", {64})}});
  MatchHeaders(stored, 1, model);
  EXPECT_TRUE(model.headers->differences.empty());
  EXPECT_EQ(model.headers->parameters, model.Parameters());
  EXPECT_EQ(model.headers->loaded.bytes, model.headers->all.bytes);
  EXPECT_EQ(StoredBytesOf(model), model.headers->all.bytes);
  const Bytes matrix(4 * 8 * 64 + 4 * 8 + 2 * 64 + 4 * 64);
  EXPECT_EQ(model.headers->loaded.bytes, matrix * 14 + Bytes(2 * (2 * 100 * 64 + 5 * 64)));
}

TEST(HeaderMatch, PackedBytesUnderTheMatrixsOwnNameAreThatMatrix) {
  const json nf4 = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
  ModelConfig model = ModelOf({{"quantization_config", nf4}});
  const StoredTensors stored =
      Quantised(model, {{"weight", Stored("U8", {2048, 1})},
                        {"weight.absmax", Stored("F32", {64})},
                        {"weight.quant_map", Stored("F32", {16})},
                        {"weight.quant_state.bitsandbytes__nf4", Stored("U8", {80})}});
  MatchHeaders(stored, 1, model);
  EXPECT_TRUE(model.headers->differences.empty());
  EXPECT_EQ(model.headers->parameters, model.Parameters());
}

TEST(HeaderMatch, PackedNumbersThatTheConfigurationDoesNotSpeakOfAreADifference) {
  ModelConfig model = ModelOf();
  MatchHeaders(Quantised(model, {{"qweight", Stored("I32", {8, 64})}}), 1, model);
  EXPECT_FALSE(model.headers->agrees());
  EXPECT_THAT(Difference(model, Kind::kOtherType)->what, HasSubstr("packed numbers"));
}

TEST(HeaderMatch, TotalsByTypeAddUpToAll) {
  ModelConfig model = ModelOf();
  StoredTensors stored = CheckpointOf(model);
  stored.emplace("visual.x", Stored("F32", {10}));
  MatchHeaders(stored, 1, model);
  const StoredCheckpoint& headers = *model.headers;
  ASSERT_EQ(headers.by_type.size(), 2u);
  EXPECT_EQ(headers.by_type[0].name, "F16");
  EXPECT_EQ(headers.by_type[1].bytes, Bytes(40));
  EXPECT_EQ(headers.by_type[0].bytes + headers.by_type[1].bytes, headers.all.bytes);
}

TEST(CheckpointNames, NumbersOfLayersAndExpertsAreNoDifference) {
  EXPECT_EQ(WithoutNumbers("model.layers.12.mlp.experts.7.w1.weight"),
            "model.layers.*.mlp.experts.*.w1.weight");
}

}  // namespace
}  // namespace plimsoll
