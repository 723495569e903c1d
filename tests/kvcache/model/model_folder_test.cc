// Models read from folders and files, with real files on disk.
#include "kvcache/model/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kvcache/model/config_texts.h"
#include "tests/kvcache/model/gguf_writer.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

// A safetensors file of the given tensors, F16, with their data.
std::string FileOf(const std::vector<std::pair<std::string, std::vector<int64_t>>>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  int64_t end = 0;
  for (const auto& [name, shape] : tensors) {
    int64_t bytes = 2;
    for (const int64_t extent : shape) bytes *= extent;
    header[name] = {{"dtype", "F16"}, {"shape", shape}, {"data_offsets", {end, end + bytes}}};
    end += bytes;
  }
  const std::string text = header.dump();
  return LowBytes(text.size(), 8) + text + std::string(static_cast<size_t>(end), 'x');
}

// The ends of SmallConfig's checkpoint; its layers are missing.
const std::vector<std::pair<std::string, std::vector<int64_t>>> kEnds = {
    {"model.embed_tokens.weight", {100, 64}}, {"model.norm.weight", {64}}};
const std::pair<std::string, std::vector<int64_t>> kHead = {"lm_head.weight", {100, 64}};

std::string Refusal(const std::string& path) {
  const absl::StatusOr<ModelConfig> model = ReadModel(path);
  return model.ok() ? "accepted" : std::string(model.status().message());
}

class ModelFolder : public testing::Test {
 protected:
  ModelFolder() { dir_.Write("m/config.json", SmallConfig().dump()); }
  std::string folder() const { return dir_.File("m"); }
  ModelConfig Read() const {
    const absl::StatusOr<ModelConfig> model = ReadModel(folder());
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *model : ModelConfig{};
  }
  TempDir dir_;
};

TEST_F(ModelFolder, WithoutWeightsTheConfigurationIsAllThereIs) {
  EXPECT_FALSE(Read().headers.has_value());
}

TEST_F(ModelFolder, TheConfigurationAloneIsReadByItsOwnPath) {
  dir_.Write("m/model.safetensors", "not even a header");
  const absl::StatusOr<ModelConfig> model = ReadModel(folder() + "/config.json");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_FALSE(model->headers.has_value());
  EXPECT_THAT(Refusal(folder()), HasSubstr("model.safetensors: header length="));
}

TEST_F(ModelFolder, HeadersOfOneFileAreLaidBesideTheConfiguration) {
  dir_.Write("m/model.safetensors", FileOf({kEnds[0], kEnds[1], kHead}));
  const ModelConfig model = Read();
  EXPECT_EQ(model.headers->files, 1);
  EXPECT_EQ(model.headers->all.bytes, Bytes(2 * (2 * 6400 + 64)));
  EXPECT_FALSE(model.headers->agrees());  // no layers
}

// The index names the files; the sum that it gives is not believed.
TEST_F(ModelFolder, ShardsAreFoundByTheirIndex) {
  dir_.Write("m/a.safetensors", FileOf(kEnds));
  dir_.Write("m/b.safetensors", FileOf({kHead}));
  dir_.Write("m/consolidated.safetensors", "not named, so not read");
  dir_.Write("m/model.safetensors.index.json",
             R"({"metadata":{"total_size":999999999},"weight_map":{"lm_head.weight":
"b.safetensors","model.norm.weight":"a.safetensors","model.embed_tokens.weight":
"a.safetensors"}})");
  const ModelConfig model = Read();
  EXPECT_EQ(model.headers->files, 2);
  EXPECT_EQ(model.headers->all.bytes, Bytes(2 * (2 * 6400 + 64)));
}

TEST_F(ModelFolder, ShardsAreFoundWithoutAnIndexAndMustBeAllThere) {
  dir_.Write("m/model-00001-of-00002.safetensors", FileOf(kEnds));
  EXPECT_THAT(Refusal(folder()), HasSubstr("shards=1: want 2, as their names say"));
  dir_.Write("m/model-00002-of-00002.safetensors", FileOf({kHead}));
  EXPECT_EQ(Read().headers->files, 2);
}

TEST_F(ModelFolder, ATensorInTwoFilesIsRefused) {
  dir_.Write("m/a.safetensors", FileOf({kHead}));
  dir_.Write("m/b.safetensors", FileOf({kHead}));
  EXPECT_THAT(Refusal(folder()),
              HasSubstr("b.safetensors: tensor lm_head.weight: stands in another file too"));
}

TEST_F(ModelFolder, AnIndexThatIsWrongIsRefusedByWhatIsWrong) {
  const std::string index = "m/model.safetensors.index.json";
  dir_.Write("m/a.safetensors", FileOf({kHead}));
  dir_.Write(index, "{");
  EXPECT_THAT(Refusal(folder()), HasSubstr("index.json: not JSON"));
  dir_.Write(index, R"({"weight_map":[]})");
  EXPECT_THAT(Refusal(folder()), HasSubstr("weight_map: want an object"));
  dir_.Write(index, R"({"weight_map":{"lm_head.weight":"../a.safetensors"}})");
  EXPECT_THAT(Refusal(folder()), HasSubstr("want the name of a file beside the index"));
  dir_.Write(index, R"({"weight_map":{"lm_head.weight":"none.safetensors"}})");
  EXPECT_THAT(Refusal(folder()), HasSubstr("none.safetensors: no such file"));
  dir_.Write(index, R"({"weight_map":{"model.norm.weight":"a.safetensors"}})");
  EXPECT_THAT(Refusal(folder()), HasSubstr("weight_map[model.norm.weight]=a.safetensors"));
}

std::string GgufFile() {
  const GgufWriter file = Written({});
  std::string content = file.Head();
  content.resize(static_cast<size_t>(file.FileBytes()));
  return content;
}

TEST(GgufFolder, AGgufFileIsReadByItsPathAndByItsFolder) {
  const TempDir dir;
  const std::string path = dir.Write("tiny.gguf", GgufFile());
  for (const std::string& way : {path, dir.path()}) {
    const absl::StatusOr<ModelConfig> model = ReadModel(way);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->name, "tiny");
    EXPECT_EQ(model->architecture, "llama");
    EXPECT_EQ(model->headers->format, "GGUF");
  }
  dir.Write("other.gguf", GgufFile());
  EXPECT_THAT(Refusal(dir.path()), HasSubstr("GGUF files=2: want one"));
}

// The first part has the metadata and the ends, the second the blocks.
class GgufInParts : public testing::Test {
 protected:
  GgufInParts() {
    GgufWriter first;
    first.Number("split.count", 2);
    first.Text("general.architecture", "llama");
    first.Number("llama.block_count", 1);
    first.Number("llama.context_length", 64);
    first.Number("llama.embedding_length", 32);
    first.Number("llama.attention.head_count", 2);
    first.Tensor("token_embd.weight", "F16", {10, 32});
    WritePart("tiny-00001-of-00002.gguf", first);
  }
  void WritePart(const std::string& name, const GgufWriter& part) const {
    std::string content = part.Head();
    content.resize(static_cast<size_t>(part.FileBytes()));
    dir_.Write(name, content);
  }
  static GgufWriter Second(const std::string& tensor) {
    GgufWriter part;
    part.Number("split.count", 2);
    part.Tensor(tensor, "F16", {32, 32});
    return part;
  }
  TempDir dir_;
};

TEST_F(GgufInParts, AllPartsMakeTheModel) {
  WritePart("tiny-00002-of-00002.gguf", Second("blk.0.attn_k.weight"));
  for (const std::string& way : {dir_.path(), dir_.File("tiny-00002-of-00002.gguf")}) {
    const absl::StatusOr<ModelConfig> model = ReadModel(way);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->name, "tiny");
    EXPECT_EQ(model->headers->files, 2);
    EXPECT_EQ(model->Parameters(), 10 * 32 + 32 * 32);
  }
}

TEST_F(GgufInParts, APartThatIsMissingOrRepeatsATensorIsRefused) {
  EXPECT_THAT(Refusal(dir_.path()), HasSubstr("tiny-00002-of-00002.gguf: No such file"));
  WritePart("tiny-00002-of-00002.gguf", Second("token_embd.weight"));
  EXPECT_THAT(Refusal(dir_.path()), HasSubstr("token_embd.weight: stands in another part too"));
  WritePart("other.gguf", Second("blk.0.attn_k.weight"));
  EXPECT_THAT(Refusal(dir_.File("other.gguf")),
              HasSubstr("split.count=2: want parts named -00001-of-00002.gguf"));
}

TEST(GgufFolder, AConfigurationComesBeforeAGgufFile) {
  const TempDir dir;
  dir.Write("tiny.gguf", GgufFile());
  dir.Write("config.json", SmallConfig().dump());
  const absl::StatusOr<ModelConfig> model = ReadModel(dir.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->architecture, "LlamaForCausalLM");
}

TEST(GgufFolder, AFileThatIsNoGgufIsRefusedByItsPath) {
  const TempDir dir;
  EXPECT_THAT(Refusal(dir.Write("x.gguf", "nothing of the kind")),
              HasSubstr("x.gguf: no GGUF file"));
}

}  // namespace
}  // namespace plimsoll
