#include "engine/weights/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/ops/float16.h"
#include "engine/weights/random_weights.h"
#include "engine/weights/safetensors_writer.h"
#include "engine/weights/tensor_names.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

// Two tensors for each of two layers and one beside them.
ModelConfig SmallModel() {
  ModelConfig model;
  model.layers = 2;
  model.tensors = {{.name = "table", .role = TensorRole::kEmbedding, .shape = {3, 2}},
                   {.name = "layer.{layer}.expert.{expert}.w",
                    .role = TensorRole::kExpert,
                    .shape = {2, 2},
                    .layers = {0, 1},
                    .experts = 2}};
  return model;
}

std::vector<TensorToWrite> TensorsOf(const ModelConfig& model) {
  std::vector<TensorToWrite> tensors;
  ForEachTensor(model, [&](const std::string& name, const TensorSpec& spec) {
    tensors.push_back({name, ElementType::kFp32, spec.shape});
    return true;
  });
  return tensors;
}

// Every element is the number of its tensor.
void WriteTensors(const std::string& path, const std::vector<TensorToWrite>& tensors) {
  auto writer = SafetensorsWriter::Create(path, tensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (size_t i = 0; i < tensors.size(); ++i) {
    int64_t elements = 1;
    for (const int64_t extent : tensors[i].shape) elements *= extent;
    const size_t bytes = static_cast<size_t>(BytesOf(tensors[i].type, elements).value());
    std::vector<std::byte> data(bytes);
    for (int64_t e = 0; e < elements; ++e) {
      WriteElement(data.data(), tensors[i].type, e, static_cast<float>(i));
    }
    ASSERT_TRUE((*writer)->Append(data).ok());
  }
  ASSERT_TRUE((*writer)->Finish().ok());
}

TEST(TensorNames, LayersAndExpertsAreSpelledOut) {
  std::vector<std::string> names;
  for (const TensorToWrite& each : TensorsOf(SmallModel())) names.push_back(each.name);
  EXPECT_THAT(names, testing::ElementsAre("table", "layer.0.expert.0.w", "layer.0.expert.1.w",
                                          "layer.1.expert.0.w", "layer.1.expert.1.w"));
}

TEST(Weights, EveryTensorIsFoundByNameWithItsShape) {
  const TempDir dir;
  const ModelConfig model = SmallModel();
  WriteTensors(dir.File("model.safetensors"), TensorsOf(model));
  const auto weights = Weights::Load(dir.path(), model);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const WeightView view = (*weights)->Find("layer.1.expert.0.w");
  ASSERT_NE(view.data, nullptr);
  EXPECT_EQ(view.rows, 2);
  EXPECT_EQ(view.cols, 2);
  EXPECT_EQ(ReadElement(view.data, view.type, 3), 3.0f);
  EXPECT_EQ((*weights)->Find("table").rows, 3);
  EXPECT_EQ((*weights)->Find("nothing").data, nullptr);
  EXPECT_EQ((*weights)->tensor_bytes(), Bytes((6 + 4 * 4) * 4));
  EXPECT_EQ((*weights)->resident_bytes(), Bytes(5 * 64));
}

TEST(Weights, ShardsAreFoundThroughTheirIndex) {
  const TempDir dir;
  const ModelConfig model = SmallModel();
  const std::vector<TensorToWrite> all = TensorsOf(model);
  WriteTensors(dir.File("one.safetensors"), {all.begin(), all.begin() + 2});
  WriteTensors(dir.File("two.safetensors"), {all.begin() + 2, all.end()});
  std::string map;
  for (size_t i = 0; i < all.size(); ++i) {
    map += (i == 0 ? "" : ",") + ("\"" + all[i].name + "\":") +
           (i < 2 ? "\"one.safetensors\"" : "\"two.safetensors\"");
  }
  dir.Write("model.safetensors.index.json", R"({"metadata":{},"weight_map":{)" + map + "}}");
  const auto weights = Weights::Load(dir.path(), model);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const WeightView last = (*weights)->Find("layer.1.expert.1.w");
  EXPECT_EQ(ReadElement(last.data, last.type, 0), 2.0f);  // the third tensor of its shard
}

std::string LoadError(const TempDir& dir) {
  const absl::Status status = Weights::Load(dir.path(), SmallModel()).status();
  EXPECT_FALSE(status.ok());
  return std::string(status.message());
}

TEST(Weights, AMissingTensorIsNamed) {
  const TempDir dir;
  std::vector<TensorToWrite> tensors = TensorsOf(SmallModel());
  tensors.pop_back();
  WriteTensors(dir.File("model.safetensors"), tensors);
  EXPECT_THAT(LoadError(dir), HasSubstr("model.safetensors: tensor layer.1.expert.1.w: missing"));
}

TEST(Weights, AWrongShapeIsNamed) {
  const TempDir dir;
  std::vector<TensorToWrite> tensors = TensorsOf(SmallModel());
  tensors[1].shape = {4};
  WriteTensors(dir.File("model.safetensors"), tensors);
  EXPECT_THAT(LoadError(dir),
              HasSubstr("tensor layer.0.expert.0.w: shape=[4]: want [2, 2], as config.json says"));
}

TEST(Weights, ATypeThatNoDecoderUsesIsNamed) {
  const TempDir dir;
  const std::string header = R"({"table":{"dtype":"I8","shape":[3,2],"data_offsets":[0,6]}})";
  dir.Write("model.safetensors", std::string(1, static_cast<char>(header.size())) +
                                     std::string(7, '\0') + header + "123456");
  EXPECT_THAT(LoadError(dir), HasSubstr("tensor table: dtype=I8: want F32, F16 or BF16"));
}

TEST(Weights, AFolderWithoutWeightsIsNamed) {
  const TempDir dir;
  EXPECT_THAT(LoadError(dir), HasSubstr("model.safetensors: no such file"));
}

struct BadIndex {
  const char* index;
  const char* says;
};

TEST(Weights, BadIndexesAreRefused) {
  const BadIndex cases[] = {
      {"{", "index.json"},
      {"{}", "weight_map"},
      {R"({"weight_map":7})", "weight_map"},
      {R"({"weight_map":{"table":7}})", "weight_map[table]=7"},
      {R"({"weight_map":{"table":"../x"}})", "weight_map[table]=\"../x\""},
      {R"({"weight_map":{"table":"/etc/passwd"}})", "weight_map[table]=\"/etc/passwd\""},
      {R"({"weight_map":{"table":"none.safetensors"}})", "none.safetensors: no such file"},
      {R"({"weight_map":{"other":"empty.safetensors"}})", "weight_map[other]="},
  };
  for (const BadIndex& bad : cases) {
    SCOPED_TRACE(bad.index);
    const TempDir dir;
    WriteTensors(dir.File("empty.safetensors"), {});
    dir.Write("model.safetensors.index.json", bad.index);
    EXPECT_THAT(LoadError(dir), HasSubstr(bad.says));
  }
}

TEST(RandomTensor, HasTheMeanAndTheDeviationOfItsRole) {
  const struct {
    TensorRole role;
    double mean, deviation;
  } cases[] = {{TensorRole::kLinear, 0, 1.5 / 8},
               {TensorRole::kHead, 0, 1.5 / 8},
               {TensorRole::kEmbedding, 0, 1},
               {TensorRole::kNorm, 1, 0.2},
               {TensorRole::kBias, 0, 0.1}};
  for (const auto& each : cases) {
    SCOPED_TRACE(static_cast<int>(each.role));
    RandomTensor random(7, "name", {.name = "name", .role = each.role, .shape = {1000, 64}});
    double sum = 0, squares = 0;
    constexpr int kCount = 64000;
    for (int i = 0; i < kCount; ++i) {
      const double x = random.Next();
      sum += x;
      squares += x * x;
    }
    const double mean = sum / kCount;
    EXPECT_NEAR(mean, each.mean, 5 * each.deviation / std::sqrt(kCount));
    EXPECT_NEAR(std::sqrt(squares / kCount - mean * mean), each.deviation, 0.01 * each.deviation);
  }
}

TEST(RandomTensor, SeedAndNameDecide) {
  const TensorSpec spec = {.name = "", .role = TensorRole::kEmbedding, .shape = {1}};
  const float first = RandomTensor(1, "a", spec).Next();
  EXPECT_EQ(RandomTensor(1, "a", spec).Next(), first);
  EXPECT_NE(RandomTensor(2, "a", spec).Next(), first);
  EXPECT_NE(RandomTensor(1, "b", spec).Next(), first);
}

TEST(RandomTensor, PiecesJoinIntoTheSameTensor) {
  const TensorSpec spec = {.name = "", .role = TensorRole::kEmbedding, .shape = {6}};
  std::vector<std::byte> whole(12), parts(12);
  RandomTensor(1, "a", spec).Fill(ElementType::kBf16, whole);
  RandomTensor again(1, "a", spec);
  again.Fill(ElementType::kBf16, std::span(parts).first(4));
  again.Fill(ElementType::kBf16, std::span(parts).subspan(4));
  EXPECT_EQ(whole, parts);
}

}  // namespace
}  // namespace plimsoll
