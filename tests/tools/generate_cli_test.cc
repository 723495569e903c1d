// plimsoll generate and make-model, run as a user runs them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kConfig[] = R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
  "intermediate_size": 96, "num_hidden_layers": 8, "num_attention_heads": 8,
  "num_key_value_heads": 2, "vocab_size": 5000, "max_position_embeddings": 128,
  "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "torch_dtype": "bfloat16",
  "tie_word_embeddings": false})";

ProgramResult Plimsoll(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), PlimsollProgram());
  return RunProgram(arguments);
}

// A model of two layers and 100 tokens, made once by the command itself.
class GenerateCli : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    const std::string like = dir_->Write("like/config.json", kConfig);
    made_ = Plimsoll({"make-model", "--like", like, "--out", Model(), "--layers", "2", "--vocab",
                      "100", "--seed", "5", "--format", "json"});
  }
  static void TearDownTestSuite() { delete dir_; }

  static std::string Model() { return dir_->File("model"); }
  static std::string File(const std::string& name) { return dir_->File(name); }
  static ProgramResult Generate(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"generate", "--model", Model()};
    if (std::find(more.begin(), more.end(), "--device") == more.end()) {
      arguments.insert(arguments.end(), {"--device", "cpu"});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Plimsoll(arguments);
  }

  static TempDir* dir_;
  static ProgramResult made_;
};
TempDir* GenerateCli::dir_ = nullptr;
ProgramResult GenerateCli::made_;

TEST_F(GenerateCli, MakeModelSaysWhatItMade) {
  EXPECT_EQ(made_.exit_code, 0) << made_.err;
  EXPECT_EQ(made_.err, "");  // no progress in a pipe
  const auto summary = nlohmann::json::parse(made_.out);
  EXPECT_EQ(summary["architecture"], "LlamaForCausalLM");
  EXPECT_EQ(summary["layers"], 2);
  // Table and head; of each layer q, o, k, v, three of the MLP and two norms; the last norm.
  const int parameters = 2 * 100 * 64 + 2 * (2 * 64 * 64 + 2 * 16 * 64 + 3 * 64 * 96 + 2 * 64) + 64;
  EXPECT_EQ(summary["parameters"], parameters);
  EXPECT_EQ(summary["weights_bytes"], 2 * parameters);
}

TEST_F(GenerateCli, TokensComeOutAsTheyGoIn) {
  const ProgramResult first = Generate({"--tokens", "1,2,3", "--max-new-tokens", "5"});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, testing::MatchesRegex("[0-9]+(,[0-9]+)+\n"));
  EXPECT_EQ(first.err, "");
  EXPECT_EQ(Generate({"--tokens", "1,2,3", "--max-new-tokens", "5"}).out, first.out);
  const std::string file = dir_->Write("tokens", " 1, 2\n3\n");
  EXPECT_EQ(Generate({"--tokens", "@" + file, "--max-new-tokens", "5"}).out, first.out);
  EXPECT_EQ(Generate({"--tokens", "1,2,3", "--max-new-tokens", "5", "--reference"}).out, first.out);
}

TEST_F(GenerateCli, WeightsAreRoundedWhenAsked) {
  const std::vector<std::string> request = {"--tokens", "1,2,3", "--max-new-tokens", "2"};
  const auto weights_of = [&](const std::string& type) {
    std::vector<std::string> arguments = request;
    arguments.insert(arguments.end(), {"--weights", type, "--format", "json"});
    const ProgramResult result = Generate(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out)["memory"][0]["predicted_bytes"].get<int64_t>();
  };
  // A layer's matrices have 416 rows, none longer than a group of int4.
  const int64_t matrices = 2 * (2 * 64 * 64 + 2 * 16 * 64 + 3 * 64 * 96);
  const int64_t rest = 2 * (2 * 100 * 64 + 5 * 64);
  EXPECT_EQ(weights_of("int8"), rest + matrices + 2 * 2 * 416);
  EXPECT_EQ(weights_of("int4"), rest + matrices / 2 + 2 * 4 * 416);
  const ProgramResult refused =
      Generate({"--tokens", "1", "--max-new-tokens", "1", "--weights", "nf4"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("weights=nf4: want int8 or int4"));
}

TEST_F(GenerateCli, QuantizeWritesWhatLoadingWouldRoundTo) {
  const std::string out = File("int4");
  const ProgramResult made = Plimsoll(
      {"quantize", "--model", Model(), "--weights", "int4", "--out", out, "--format", "json"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.err, "");  // no progress in a pipe
  const auto plan = Plimsoll({"plan", "--model", out, "--memory", "1GiB", "--format", "json"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_EQ(nlohmann::json::parse(plan.out)["memory"]["weights_bytes"],
            nlohmann::json::parse(made.out)["weights_bytes"]);
  const std::vector<std::string> request = {"--tokens", "1,2,3", "--max-new-tokens", "6"};
  const auto tokens = [&](std::vector<std::string> more) {
    more.insert(more.end(), request.begin(), request.end());
    more.insert(more.begin(), {"generate", "--device", "cpu"});
    const ProgramResult result = Plimsoll(more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  EXPECT_EQ(tokens({"--model", out}), tokens({"--model", Model(), "--weights", "int4"}));
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{
           {"quantize", "--model", out, "--weights", "int8", "--out", File("again")},
           {"quantize", "--model", Model(), "--weights", "int3", "--out", File("again")},
           {"quantize", "--model", Model(), "--weights", "int8", "--out", out}}) {
    const ProgramResult refused = Plimsoll(bad);
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_THAT(refused.err, StartsWith("plimsoll: quantize: "));
  }
  EXPECT_FALSE(std::filesystem::exists(File("again")));
}

TEST_F(GenerateCli, JsonSaysWhatItRanOnAndWhatItTook) {
  const ProgramResult result = Generate(
      {"--tokens", "1,2,3", "--max-new-tokens", "5", "--memory", "4MiB", "--format", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report["device"], "cpu");
  EXPECT_EQ(report["finish_reason"], "length");
  EXPECT_EQ(report["tokens"].size(), 5u);
  ASSERT_EQ(report["memory"].size(), 3u);
  EXPECT_EQ(report["memory"][0]["stage"], "weights");
  EXPECT_GT(report["memory"][2]["measured_bytes"], 1 << 20);
}

// The pool of one request: 8 tokens in one block of 16; two layers of two heads of 8, K and V.
TEST_F(GenerateCli, KvSaysHowKAndVAreStored) {
  const std::vector<std::pair<const char*, int>> row_bytes = {
      {"fp32", 32}, {"fp16", 16}, {"bf16", 16}, {"fp8", 8}, {"int8", 8 + 4}, {"int4", 4 + 4}};
  for (const auto& [type, bytes] : row_bytes) {
    const auto generate = [kv = std::string(type)](const char* how) {
      return Generate({"--tokens", "1,2,3", "--max-new-tokens", "5", "--kv", kv, "--format", "json",
                       "--ignore-eos", how});
    };
    const ProgramResult result = generate("--seed=1");
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto report = nlohmann::json::parse(result.out);
    EXPECT_EQ(report["memory"][2]["predicted_bytes"], 16 * 2 * 2 * 2 * bytes) << type;
    EXPECT_EQ(report["tokens"].size(), 5u);
    EXPECT_EQ(nlohmann::json::parse(generate("--reference").out)["tokens"], report["tokens"])
        << type;
  }
}

TEST_F(GenerateCli, SamplingIsRepeatableBySeed) {
  const auto sample = [](const char* seed) {
    return Generate({"--tokens", "1,2", "--max-new-tokens", "20", "--temperature", "1.5", "--top-k",
                     "50", "--top-p", "0.99", "--seed", seed})
        .out;
  };
  EXPECT_EQ(sample("7"), sample("7"));
  EXPECT_NE(sample("7"), sample("8"));
}

// The header and the shape by hand: three positions of the prompt and five new ones.
TEST_F(GenerateCli, LogitsAreANumPyFileWithARowForEveryPosition) {
  const ProgramResult result =
      Generate({"--tokens", "1,2,3", "--max-new-tokens", "5", "--logits", File("l.npy")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string npy = ReadFile(File("l.npy"));
  ASSERT_EQ(npy.size(), 128u + 8 * 100 * sizeof(float));
  EXPECT_THAT(npy, StartsWith(std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                              "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 100), }"));
  EXPECT_EQ(npy[127], '\n');
  // Row 2 is the prompt's last: its largest entry is the first new token.
  std::vector<float> row(100);
  std::memcpy(row.data(), npy.data() + 128 + 2 * 100 * sizeof(float), 100 * sizeof(float));
  const auto best = std::max_element(row.begin(), row.end()) - row.begin();
  EXPECT_THAT(result.out, StartsWith(std::to_string(best) + ","));
  EXPECT_FALSE(std::filesystem::exists(File("l.npy.partial")));
}

struct BadCall {
  std::vector<std::string> arguments;
  int exit_code;
  const char* says;
};

TEST_F(GenerateCli, BadInputIsOneLineAndTheRightExitCode) {
  const std::vector<BadCall> cases = {
      {{"--tokens", "1,x", "--max-new-tokens", "5"}, 2, "tokens=x"},
      {{"--tokens", "1,,2", "--max-new-tokens", "5"}, 2, "tokens="},
      {{"--tokens", "", "--max-new-tokens", "5"}, 2, "tokens="},
      {{"--tokens", "-1", "--max-new-tokens", "5"}, 2, "tokens=-1"},
      {{"--tokens", "99999999999", "--max-new-tokens", "5"}, 2, "tokens=99999999999"},
      {{"--tokens", "1,100", "--max-new-tokens", "5"}, 2, "prompt[1]=100"},
      {{"--tokens", "@/nowhere", "--max-new-tokens", "5"}, 2, "/nowhere: No such file"},
      {{"--tokens", "@/", "--max-new-tokens", "5"}, 2, "tokens"},
      {{"--tokens", "1", "--max-new-tokens", "0"}, 2, "max_new_tokens=0"},
      {{"--tokens", "1", "--max-new-tokens", "-5"}, 2, "max_new_tokens=-5"},
      {{"--tokens", "1", "--max-new-tokens", "9223372036854775807"}, 2, "max_new_tokens="},
      {{"--tokens", "1", "--max-new-tokens", "99999999999999999999"}, 2, "--max-new-tokens"},
      {{"--tokens", "1", "--max-new-tokens", "128"}, 2, "max_new_tokens=128: want 1 to 127"},
      {{"--tokens", "1", "--max-new-tokens", "5", "--block-tokens", "3"}, 2, "block_tokens=3"},
      {{"--tokens", "1", "--max-new-tokens", "5", "--temperature", "-1"}, 2, "temperature"},
      {{"--tokens", "1", "--max-new-tokens", "5", "--top-p", "0"}, 2, "top_p"},
      {{"--tokens", "1", "--max-new-tokens", "5", "--memory", "lots"}, 2, "memory"},
      {{"--tokens", "1", "--max-new-tokens", "5", "--memory", "1KiB"}, 1, "short"},
      {{"--tokens", "1", "--max-new-tokens", "5", "--kv", "int3"},
       2,
       "kv=int3: want fp32, fp16, bf16, fp8, int8 or int4"},
      {{"--tokens", "1", "--max-new-tokens", "5", "--kv", "tf32"}, 2, "kv=tf32"},
      {{"--tokens", "1", "--max-new-tokens", "5", "--device", "tpu"}, 2, "tpu"},
      {{"--tokens", "1", "--max-new-tokens", "5", "--logits", "/nowhere/l.npy"}, 1, "/nowhere"},
      {{"--tokens", "1", "--max-new-tokens", "5", "-o", "/dev/full"}, 1, "/dev/full"},
      {{"--tokens", "1"}, 2, "max-new-tokens"},
  };
  for (const BadCall& bad : cases) {
    SCOPED_TRACE(testing::PrintToString(bad.arguments));
    const ProgramResult result = Generate(bad.arguments);
    EXPECT_EQ(result.exit_code, bad.exit_code);
    EXPECT_THAT(result.err, StartsWith("plimsoll: "));
    EXPECT_THAT(result.err, HasSubstr(bad.says));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

// With growing memory the model does not fit (1), then the request does not (3), then both do.
TEST_F(GenerateCli, APoolTooSmallForTheRequestRefusesIt) {
  ProgramResult result{.exit_code = 1, .out = {}, .err = {}};
  int kib = 512;
  for (; result.exit_code == 1 && kib < 4096; kib += 4) {
    result = Generate(
        {"--tokens", "1", "--max-new-tokens", "100", "--memory", std::to_string(kib) + "KiB"});
  }
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the largest that fits is"));
  for (; result.exit_code == 3 && kib < 4096; kib += 4) {
    result = Generate(
        {"--tokens", "1", "--max-new-tokens", "100", "--memory", std::to_string(kib) + "KiB"});
  }
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST_F(GenerateCli, AHostileHeaderIsRefusedByName) {
  const TempDir dir;
  std::filesystem::copy(Model(), dir.File("m"));
  std::string weights = ReadFile(dir.File("m/model.safetensors"));
  weights[7] = '\x7f';  // a header of 2^62 bytes
  dir.Write("m/model.safetensors", weights);
  const ProgramResult result = Plimsoll({"generate", "--model", dir.File("m"), "--device", "cpu",
                                         "--tokens", "1", "--max-new-tokens", "1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("model.safetensors: header length="));
}

TEST_F(GenerateCli, TruncatedWeightsAreRefusedByName) {
  const TempDir dir;
  std::filesystem::copy(Model(), dir.File("m"));
  std::filesystem::resize_file(dir.File("m/model.safetensors"), 10000);
  const ProgramResult result = Plimsoll({"generate", "--model", dir.File("m"), "--device", "cpu",
                                         "--tokens", "1", "--max-new-tokens", "1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("data_offsets="));
}

TEST_F(GenerateCli, AnArchitectureWithoutADecoderIsNamed) {
  const TempDir dir;
  std::string config = kConfig;
  config.replace(config.find("LlamaForCausalLM"), 16, "Gemma3ForCausalLM");
  const std::string like = dir.Write("config.json", config);
  ASSERT_EQ(
      Plimsoll({"make-model", "--like", like, "--out", dir.File("m"), "--layers", "1"}).exit_code,
      0);
  const ProgramResult result = Plimsoll({"generate", "--model", dir.File("m"), "--device", "cpu",
                                         "--tokens", "1", "--max-new-tokens", "1"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("no decoder for Gemma3ForCausalLM"));
}

TEST_F(GenerateCli, BadShapesAreRefusedAndNothingIsWritten) {
  const std::string like = File("like");
  const std::vector<BadCall> cases = {
      {{"--like", like, "--out", Model()}, 2, "not empty"},
      {{"--like", like, "--out", File("new"), "--layers", "0"}, 2, "layers=0"},
      {{"--like", like, "--out", File("new"), "--layers", "-3"}, 2, "layers=-3"},
      {{"--like", like, "--out", File("new"), "--layers", "1000000"}, 2, "1000000"},
      {{"--like", like, "--out", File("new"), "--hidden", "1.5"}, 2, "hidden"},
      {{"--like", like, "--out", File("new"), "--kv-heads", "3"}, 2, "num_key_value_heads=3"},
      {{"--like", like, "--out", File("new"), "--vocab", "99999999999"}, 2, "vocab_size"},
      {{"--like", like, "--out", File("new"), "--dtype", "int8"}, 2, "dtype=int8"},
      {{"--like", "/nowhere", "--out", File("new")}, 2, "/nowhere"},
      {{"--like", like, "--out", "/dev/null"}, 2, "not a folder"},
      {{"--like", like, "--out", "/proc/new"}, 1, "/proc/new"},
      {{"--out", File("new")}, 2, "like"},
  };
  for (const BadCall& bad : cases) {
    SCOPED_TRACE(testing::PrintToString(bad.arguments));
    std::vector<std::string> arguments = {"make-model"};
    arguments.insert(arguments.end(), bad.arguments.begin(), bad.arguments.end());
    const ProgramResult result = Plimsoll(arguments);
    EXPECT_EQ(result.exit_code, bad.exit_code) << result.err;
    EXPECT_THAT(result.err, StartsWith("plimsoll: "));
    EXPECT_THAT(result.err, HasSubstr(bad.says));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(std::filesystem::exists(File("new")));
  }
}

// A limit on the size of files stands for a full disk.
TEST_F(GenerateCli, AFullDiskLeavesNoHalfModel) {
  const ProgramResult result = RunProgram(
      {"sh", "-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" make-model --like \"$1\" --out \"$2\"",
       PlimsollProgram(), File("like"), File("half")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("write: File too large"));
  for (const auto& entry : std::filesystem::directory_iterator(dir_->path())) {
    EXPECT_THAT(entry.path().filename().string(), testing::Not(HasSubstr("half")));
  }
}

}  // namespace
}  // namespace plimsoll
