// `plimsoll plan` of folders with weights and of GGUF files: the headers' bytes count, and where
// they are not what config.json says, the report says so.
#include <cstdint>
#include <filesystem>
#include <utility>

#include "tests/kvcache/model/config_texts.h"
#include "tests/kvcache/model/gguf_writer.h"
#include "tests/tools/plan_program.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::HasSubstr;

using Tensors = std::vector<std::pair<std::string, std::vector<int64_t>>>;

// Every tensor of SmallConfig: 2 layers, hidden 64, 4 heads, 2 kv heads, MLP 96, 100 words.
Tensors SmallTensors() {
  Tensors all = {{"model.embed_tokens.weight", {100, 64}},
                 {"lm_head.weight", {100, 64}},
                 {"model.norm.weight", {64}}};
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    all.push_back({layer + "self_attn.q_proj.weight", {64, 64}});
    all.push_back({layer + "self_attn.k_proj.weight", {32, 64}});
    all.push_back({layer + "self_attn.v_proj.weight", {32, 64}});
    all.push_back({layer + "self_attn.o_proj.weight", {64, 64}});
    all.push_back({layer + "mlp.gate_proj.weight", {96, 64}});
    all.push_back({layer + "mlp.up_proj.weight", {96, 64}});
    all.push_back({layer + "mlp.down_proj.weight", {64, 96}});
    all.push_back({layer + "input_layernorm.weight", {64}});
    all.push_back({layer + "post_attention_layernorm.weight", {64}});
  }
  return all;
}
constexpr int64_t kSmallParameters = 2 * 6400 + 64 + 2 * (2 * 4096 + 2 * 2048 + 3 * 6144 + 128);

class PlanHeadersCli : public PlanCli {
 protected:
  PlanHeadersCli() { dir_.Write("m/config.json", SmallConfig().dump()); }

  // A folder whose weights are these tensors; the data is a hole in the file.
  std::string Folder(const Tensors& tensors, const std::string& dtype = "F16") const {
    json header = json::object();
    const int64_t width = dtype == "F32" ? 4 : 2;
    int64_t end = 0;
    for (const auto& [name, shape] : tensors) {
      int64_t bytes = width;
      for (const int64_t extent : shape) bytes *= extent;
      header[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {end, end + bytes}}};
      end += bytes;
    }
    const std::string text = header.dump();
    const std::string path = dir_.Write("m/model.safetensors", LowBytes(text.size(), 8) + text);
    std::filesystem::resize_file(path, 8 + text.size() + static_cast<uintmax_t>(end));
    return dir_.File("m");
  }

  TempDir dir_;
};

TEST_F(PlanHeadersCli, HeadersThatAgreeAreTheWeightsBytes) {
  const json plan = PlanJson({"--model", Folder(SmallTensors()), "--memory", "1GiB"});
  EXPECT_EQ(plan["memory"]["weights_bytes"], 2 * kSmallParameters);
  EXPECT_EQ(plan["headers"]["agrees"], true);
  EXPECT_EQ(plan["headers"]["files"], 1);
  EXPECT_EQ(plan["headers"]["tensors"], 21);
  EXPECT_EQ(plan["headers"]["elements"], kSmallParameters);
  EXPECT_EQ(plan["headers"]["differences"], json::array());
}

TEST_F(PlanHeadersCli, ATypeOfTheFilesOwnCountsAndIsReported) {
  const std::string folder = Folder(SmallTensors(), "F32");
  const json plan = PlanJson({"--model", folder, "--memory", "1GiB"});
  EXPECT_EQ(plan["memory"]["weights_bytes"], 4 * kSmallParameters);
  EXPECT_EQ(plan["headers"]["agrees"], false);
  const ProgramResult text = Plan({"--model", folder, "--memory", "1GiB"});
  EXPECT_THAT(text.out, HasSubstr("other type: F32 and not F16"));
  // A type that is asked for is counted by the configuration.
  const json int8 = PlanJson({"--model", folder, "--memory", "1GiB", "--weights", "bf16"});
  EXPECT_EQ(int8["memory"]["weights_bytes"], 2 * kSmallParameters);
}

TEST_F(PlanHeadersCli, WhatIsMissingAndWhatIsLeftOutIsNamed) {
  Tensors tensors = SmallTensors();
  tensors.pop_back();
  tensors.push_back({"visual.patch_embed.weight", {1000}});
  const std::string folder = Folder(tensors);
  const ProgramResult text = Plan({"--model", folder, "--memory", "1GiB"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("the headers hold"));
  EXPECT_THAT(text.out, HasSubstr("missing: model.layers.{layer}.post_attention_layernorm.weight"));
  EXPECT_THAT(text.out, HasSubstr("vision tower"));
  const json plan = PlanJson({"--model", folder, "--memory", "1GiB"});
  EXPECT_EQ(plan["headers"]["expected_parameters"], kSmallParameters);
  EXPECT_EQ(plan["headers"]["parameters"], kSmallParameters - 64);
  EXPECT_EQ(plan["memory"]["weights_bytes"], 2 * (kSmallParameters - 64));
}

TEST_F(PlanHeadersCli, AConfigurationWithoutWeightsHasNoHeaders) {
  const json plan = PlanJson({"--model", dir_.File("m"), "--memory", "1GiB"});
  EXPECT_FALSE(plan.contains("headers"));
}

TEST_F(PlanHeadersCli, AHeaderThatIsWrongIsRefusedInOneLine) {
  dir_.Write("m/model.safetensors", "too short a file");
  const ProgramResult result = Plan({"--model", dir_.File("m"), "--memory", "1GiB"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("model.safetensors: header length="));
}

// TinyLlama in Q4_0, whose tensors are published to have 635,990,016 bytes; the data is a hole.
TEST_F(PlanHeadersCli, AGgufFileIsPlannedFromItsHeader) {
  const GgufWriter file = Written({.blocks = 22,
                                   .hidden = 2048,
                                   .ffn = 5632,
                                   .heads = 32,
                                   .kv_heads = 4,
                                   .vocabulary = 32000,
                                   .head_dim = 64,
                                   .context = 2048,
                                   .matrices = "Q4_0",
                                   .output = "Q6_K"});
  const std::string path = dir_.Write("tiny.gguf", file.Head());
  std::filesystem::resize_file(path, static_cast<uintmax_t>(file.FileBytes()));
  const json plan = PlanJson({"--model", path, "--memory", "8GiB"});
  EXPECT_EQ(plan["memory"]["weights_bytes"], 635'990'016);
  EXPECT_EQ(plan["model"]["parameters"], 1'100'048'384);
  EXPECT_EQ(plan["model"]["kv_bytes_per_token"], 2 * 22 * 4 * 64 * 2);
  EXPECT_EQ(plan["model"]["architecture"], "llama");
  EXPECT_EQ(plan["headers"]["format"], "GGUF");
  const json halves = PlanJson({"--model", path, "--memory", "8GiB", "--pipeline-parallel", "2"});
  EXPECT_LT(halves["memory"]["weights_bytes"], 400'000'000);
  EXPECT_EQ(halves["model"]["kv_bytes_per_token"], 2 * 22 * 4 * 64 * 2);
}

TEST_F(PlanHeadersCli, AGgufFileOfAnUnknownArchitectureIsRefusedByName) {
  const GgufWriter file = Written({.architecture = "rwkv9"});
  const std::string path = dir_.Write("x.gguf", file.Head());
  std::filesystem::resize_file(path, static_cast<uintmax_t>(file.FileBytes()));
  const ProgramResult result = Plan({"--model", path, "--memory", "8GiB"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err, "plimsoll: " + path + ": unknown architecture rwkv9\n");
}

}  // namespace
}  // namespace plimsoll
