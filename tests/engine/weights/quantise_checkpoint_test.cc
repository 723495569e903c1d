// A quantised folder: what is read back is what loading would have rounded to, and what the plan
// says of it is what its file holds.
#include "engine/weights/quantise_checkpoint.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/ops/weight_element.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/tensor_names.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/model/model_folder.h"
#include "kvcache/sizing/weight_format.h"
#include "tests/engine/support/tiny_model.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

bool SameBytes(const std::byte* a, const std::byte* b, int64_t count) {
  return std::memcmp(a, b, static_cast<size_t>(count)) == 0;
}

// Rows that are not a multiple of 8 words, columns that are not whole groups or words.
const TinyModel& Model() {
  static const TinyModel model(
      {.layers = 2, .hidden = 68, .intermediate = 202, .heads = 4, .head_dim = 6});
  return model;
}

class QuantiseCheckpointTo : public testing::TestWithParam<ElementType> {};

TEST_P(QuantiseCheckpointTo, HoldsWhatLoadingWouldRoundTo) {
  const TempDir dir;
  const std::string out = dir.File("out");
  std::ofstream(Model().folder() + "/tokenizer.json") << "{}";
  Bytes last;
  const auto written = QuantiseCheckpoint({.model = Model().folder(),
                                           .type = GetParam(),
                                           .folder = out,
                                           .progress = [&](Bytes now, Bytes) { last = now; }});
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(last, *written);
  EXPECT_TRUE(std::filesystem::exists(out + "/tokenizer.json"));
  const auto config = ReadModelConfig(out);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->quantization, "compressed-tensors");
  const auto read = Weights::Load(out, *config);
  ASSERT_TRUE(read.ok()) << read.status();
  const auto rounded = Weights::Load(Model().folder(), Model().config, GetParam());
  ASSERT_TRUE(rounded.ok()) << rounded.status();
  EXPECT_EQ((*read)->tensor_bytes(), (*rounded)->tensor_bytes());
  ForEachTensor(*config, [&](const std::string& name, const TensorSpec&) {
    const WeightView got = (*read)->Find(name);
    const WeightView want = (*rounded)->Find(name);
    EXPECT_EQ(got.type, want.type) << name;
    EXPECT_EQ(got.group, want.group) << name;
    EXPECT_TRUE(SameBytes(got.data, want.data, want.rows * RowBytesOf(want))) << name;
    if (want.scales != nullptr) {
      EXPECT_TRUE(SameBytes(got.scales, want.scales, ScaleBytesOf(want))) << name;
    }
    return !testing::Test::HasFailure();
  });
}

TEST_P(QuantiseCheckpointTo, ThePlanOfItIsWhatTheFileHolds) {
  const TempDir dir;
  const std::string out = dir.File("out");
  const auto written =
      QuantiseCheckpoint({.model = Model().folder(), .type = GetParam(), .folder = out});
  ASSERT_TRUE(written.ok()) << written.status();
  const auto file = SafetensorsFile::Open(out + "/model.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  Bytes held;
  for (const auto& [name, tensor] : file->tensors()) held += tensor.bytes;
  EXPECT_EQ(held, *written);
  const auto config = ReadModel(out);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(WeightBytesOf(*config, std::nullopt).total, held);
  EXPECT_TRUE(config->headers->agrees());
}

INSTANTIATE_TEST_SUITE_P(Types, QuantiseCheckpointTo,
                         testing::Values(ElementType::kInt8, ElementType::kInt4),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

TEST(QuantiseCheckpoint, RefusesAndLeavesNothingBehind) {
  const TempDir dir;
  const std::string out = dir.File("out");
  const auto message = [&](const QuantiseOptions& options) {
    const auto written = QuantiseCheckpoint(options);
    EXPECT_EQ(written.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(written.status().message());
  };
  const std::string model = Model().folder();
  EXPECT_THAT(message({.model = model, .type = ElementType::kFp8, .folder = out}),
              HasSubstr("weights=fp8: want int8 or int4"));
  EXPECT_THAT(message({.model = model, .type = ElementType::kInt8, .folder = model}),
              HasSubstr("not empty"));
  dir.Write("torn/config.json", TinyShape{}.Config());
  dir.Write("torn/model.safetensors", "no header");
  EXPECT_THAT(message({.model = dir.File("torn"), .type = ElementType::kInt8, .folder = out}),
              HasSubstr("model.safetensors"));
  ASSERT_TRUE(QuantiseCheckpoint({.model = model, .type = ElementType::kInt8, .folder = out}).ok());
  EXPECT_THAT(message({.model = out, .type = ElementType::kInt4, .folder = dir.File("again")}),
              HasSubstr("quantised already: compressed-tensors"));
  std::vector<std::string> there;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    there.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(there, testing::UnorderedElementsAre("torn", "out"));
}

}  // namespace
}  // namespace plimsoll
