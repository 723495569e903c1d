// plimsoll bench, run as a user runs it, on small models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
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
  "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
  "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 500, "max_position_embeddings": 256,
  "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "torch_dtype": "bfloat16",
  "tie_word_embeddings": false})";

ProgramResult Plimsoll(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), PlimsollProgram());
  return RunProgram(arguments);
}

// Two layers of eight heads of 64: 2 x 2 x 8 x 64 x 2 bytes a token in bf16, 64 KiB a block.
class BenchCli : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    const std::string like = dir_->Write("like/config.json", kConfig);
    const ProgramResult made = Plimsoll({"make-model", "--like", like, "--out", Model()});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  static void TearDownTestSuite() { delete dir_; }

  static std::string Model() { return dir_->File("model"); }
  static std::string File(const std::string& name) { return dir_->File(name); }
  static ProgramResult Bench(const char* what, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"bench", what, "--model", Model()};
    if (std::find(more.begin(), more.end(), "--device") == more.end()) {
      arguments.insert(arguments.end(), {"--device", "cpu"});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Plimsoll(arguments);
  }
  static nlohmann::json Concurrency(std::vector<std::string> more) {
    more.insert(more.end(), {"--format", "json", "--steps", "2"});
    const ProgramResult result = Bench("concurrency", more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  }

  static TempDir* dir_;
};
TempDir* BenchCli::dir_ = nullptr;

TEST_F(BenchCli, MemoryIsWithinOnePercentOfThePlanForEveryKvType) {
  for (const std::string kv : {"bf16", "int8", "int4"}) {
    const ProgramResult result = Bench(
        "memory", {"--memory", "128MiB", "--utilization", "1", "--kv", kv, "--format", "json"});
    ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
    const auto report = nlohmann::json::parse(result.out);
    ASSERT_EQ(report.at("memory").size(), 4u);
    int64_t sum = 0;
    for (const auto& stage : report.at("memory")) {
      SCOPED_TRACE(stage.dump());
      EXPECT_LE(std::abs(stage.at("difference").get<double>()), 0.01);
      if (stage.at("stage") != "process") sum += stage.at("predicted_bytes").get<int64_t>();
    }
    const auto& process = report.at("memory").back();
    EXPECT_EQ(process.at("stage"), "process");
    EXPECT_EQ(process.at("predicted_bytes"), sum);
    EXPECT_GT(sum, int64_t{127} << 20);
    EXPECT_LE(report.at("worst_difference").get<double>(), 0.01);
  }
}

TEST_F(BenchCli, MemoryIsWithinOnePercentWithRoundedWeights) {
  for (const std::string weights : {"int8", "int4"}) {
    const ProgramResult result = Bench("memory", {"--memory", "128MiB", "--weights", weights});
    EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
  }
}

TEST_F(BenchCli, MemoryIsATableForPeople) {
  const ProgramResult result = Bench("memory", {"--memory", "256MiB"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, testing::ContainsRegex("weights +[0-9,]+ +[0-9,]+ "));
  EXPECT_THAT(result.out, testing::ContainsRegex("process +[0-9,]+ +[0-9,]+ "));
}

// What a program needs beside its blocks is more than a hundredth of a pool of one.
TEST_F(BenchCli, MemoryThatDiffersIsExitOne) {
  const ProgramResult result = Bench("memory", {"--blocks", "1", "--block-tokens", "1"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("process"));
  EXPECT_THAT(
      result.err,
      StartsWith("plimsoll: bench memory: predicted and measured bytes differ by over 1 %"));
}

// 21 blocks hold five sequences of 50 tokens (4 blocks), and one of 241 to 256.
TEST_F(BenchCli, ConcurrencyReachesWhatThePlanPredicts) {
  for (const std::string kv : {"bf16", "fp8", "int8", "int4"}) {
    SCOPED_TRACE(kv);
    const auto report = Concurrency({"--blocks", "21", "--context", "50,256", "--kv", kv});
    EXPECT_EQ(report.at("kv"), kv);
    EXPECT_EQ(report.at("blocks"), 21);
    ASSERT_EQ(report.at("contexts").size(), 2u);
    const auto& shorter = report.at("contexts")[0];
    EXPECT_EQ(shorter.at("predicted_sequences"), 5);
    EXPECT_EQ(shorter.at("reached_sequences"), 5);
    EXPECT_EQ(shorter.at("pool_full"), true);
    EXPECT_EQ(shorter.at("prompt_tokens"), 50 - 4);
    std::vector<int> sequences;
    for (const auto& level : shorter.at("levels")) {
      sequences.push_back(level.at("sequences"));
      EXPECT_EQ(level.at("steps"), 2);
      EXPECT_GT(level.at("tokens_per_second"), 0.0);
      EXPECT_GE(level.at("itl_ms_p99"), level.at("itl_ms_p50"));
    }
    EXPECT_THAT(sequences, testing::ElementsAre(1, 2, 4, 5));
    EXPECT_EQ(report.at("contexts")[1].at("predicted_sequences"), 1);
    EXPECT_EQ(report.at("contexts")[1].at("reached_sequences"), 1);
  }
}

// The two steps of the one sequence attend to 48 and 49 positions of 4 KiB. Weights: head and last
// norm; of each layer q, o, k, v, three of the MLP and two norms; not the table of embeddings.
TEST_F(BenchCli, ConcurrencyCountsTheBytesOfAStep) {
  const auto report = Concurrency({"--blocks", "4", "--context", "50"});
  const int layer = 4 * 64 * 512 + 3 * 64 * 96 + 2 * 64;
  const int64_t weights = report.at("weights_bytes");
  EXPECT_NEAR(static_cast<double>(weights), 2.0 * (500 * 64 + 2 * layer + 64), 64 * 20);
  EXPECT_EQ(report.at("contexts")[0].at("levels")[0].at("bytes_per_step"),
            weights + (48 + 49) * 4096 / 2);
}

// With memory for the pool the plan cuts it, steps that hold all sequences included.
TEST_F(BenchCli, ConcurrencyOfAPlannedPool) {
  const auto report = Concurrency({"--memory", "16MiB", "--context", "256"});
  const int blocks = report.at("blocks");
  EXPECT_GT(blocks, 64);
  EXPECT_EQ(report.at("contexts")[0].at("predicted_sequences"), blocks / 16);
  EXPECT_EQ(report.at("contexts")[0].at("reached_sequences"), blocks / 16);
}

TEST_F(BenchCli, ConcurrencyStopsAtALatencyThatNothingKeeps) {
  const auto report = Concurrency({"--blocks", "21", "--context", "50", "--max-itl", "0.000001"});
  const auto& run = report.at("contexts")[0];
  EXPECT_EQ(run.at("predicted_sequences"), 5);
  EXPECT_EQ(run.at("reached_sequences"), 0);
  EXPECT_EQ(run.at("pool_full"), false);
  EXPECT_EQ(run.at("levels").size(), 1u);
}

TEST_F(BenchCli, ConcurrencyOfAContextLargerThanThePool) {
  const auto report = Concurrency({"--blocks", "2", "--context", "50"});
  EXPECT_EQ(report.at("contexts")[0].at("predicted_sequences"), 0);
  EXPECT_EQ(report.at("contexts")[0].at("reached_sequences"), 0);
}

TEST_F(BenchCli, ConcurrencyForPeopleAndAsAPage) {
  const ProgramResult text = Bench("concurrency", {"--blocks", "8", "--context", "4,64", "--steps",
                                                   "3", "--html", File("page.html")});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("context 4: predicted 8 sequences, reached 8: the pool is full"));
  EXPECT_THAT(text.out, HasSubstr("context 64: predicted 2 sequences, reached 2"));
  const std::string page = ReadFile(File("page.html"));
  EXPECT_THAT(page, StartsWith("<!doctype html>"));
  EXPECT_THAT(page, HasSubstr("Of 4 tokens: predicted 8 sequences, reached 8: the pool is full"));
  EXPECT_THAT(page, HasSubstr("id=\"throughput\""));
  EXPECT_THAT(page, HasSubstr("Chart.js"));  // in the page, which loads nothing
  EXPECT_THAT(page, Not(HasSubstr("src=\"http")));
}

struct BadCall {
  const char* what;
  std::vector<std::string> arguments;
  int exit_code;
  const char* says;
};

TEST_F(BenchCli, WhatCannotBeIsOneLineOnStandardError) {
  const std::vector<BadCall> cases = {
      {"memory", {"--blocks", "0"}, 2, "--blocks=0: want 1 to"},
      {"memory", {"--blocks", "4", "--memory", "1GiB"}, 2, "--memory"},
      {"memory", {"--blocks", "4", "--block-tokens", "3"}, 2, "block_tokens=3"},
      {"memory", {"--memory", "much"}, 2, "--memory"},
      {"memory", {"--utilization", "0"}, 2, "--utilization"},
      {"memory", {"--blocks", "4", "--kv", "int3"}, 2, "--kv=int3: want fp32"},
      {"memory", {"--blocks", "4", "--weights", "int3"}, 2, "--weights=int3: want int8 or int4"},
      {"memory", {"--blocks", "4", "--device", "tpu"}, 2, "tpu"},
      {"memory", {"--blocks", "4", "--format", "html"}, 2, "html"},
      {"memory", {"--memory", "1KiB"}, 1, "short"},
      {"memory", {"--blocks", "4", "-o", "/nowhere/out"}, 1, "/nowhere"},
      {"concurrency", {"--blocks", "4"}, 2, "--context"},
      {"concurrency", {"--blocks", "4", "--context", "0"}, 2, "--context=0"},
      {"concurrency", {"--blocks", "4", "--context", "3"}, 2, "--context=3: want 4 to 256"},
      {"concurrency", {"--blocks", "4", "--context", "50,257"}, 2, "--context=257: want 4 to 256"},
      {"concurrency", {"--blocks", "4", "--context", "many"}, 2, "--context"},
      {"concurrency", {"--blocks", "4", "--context", "9", "--steps", "0"}, 2, "--steps=0"},
      {"concurrency", {"--blocks", "4", "--context", "9", "--max-itl", "-1"}, 2, "--max-itl"},
      {"concurrency", {"--blocks", "4", "--context", "9", "--max-itl", "nan"}, 2, "--max-itl"},
      {"concurrency", {"--blocks", "4", "--context", "9", "--html", "/nowhere/p"}, 1, "/nowhere"},
      {"everything", {}, 2, "subcommand is required"},
  };
  for (const BadCall& bad : cases) {
    SCOPED_TRACE(bad.what + testing::PrintToString(bad.arguments));
    const ProgramResult result = Bench(bad.what, bad.arguments);
    EXPECT_EQ(result.exit_code, bad.exit_code) << result.err;
    EXPECT_THAT(result.err, StartsWith("plimsoll: "));
    EXPECT_THAT(result.err, HasSubstr(bad.says));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

// Of the ledger, each answer is checked and each grant has to be back before a figure is given.
TEST(BenchAdmissionCli, MeasuresALedgerBesideAnEcho) {
  const ProgramResult result =
      Plimsoll({"bench", "admission", "--milliseconds", "30", "--rounds", "1", "--watchers", "10",
                "--live", "150", "--format", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const auto figures = nlohmann::json::parse(result.out).at("figures");
  ASSERT_EQ(figures.size(), 29);
  int goals = 0;
  for (const auto& figure : figures) {
    const double ours = figure.at("ours").get<double>();
    const bool updates = figure.at("what").get<std::string>().ends_with("updates of each");
    EXPECT_TRUE(ours > 0 || updates) << figure << ": in so short a time nobody may hear a second";
    if (figure.contains("beside") && figure.at("unit") != "ns/pair") {
      EXPECT_NEAR(ours / figure.at("beside").get<double>(), figure.at("ratio").get<double>(), 1e-6)
          << figure << ": of one round";
    }
    goals += figure.contains("met") ? 1 : 0;
  }
  EXPECT_EQ(goals, 18);
}

TEST(BenchAdmissionCli, MeasuresOnlyWhatIsAskedFor) {
  const ProgramResult result = Plimsoll({"bench", "admission", "--milliseconds", "10", "--rounds",
                                         "1", "--only", "session", "--format", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto figures = nlohmann::json::parse(result.out).at("figures");
  ASSERT_EQ(figures.size(), 3);
  for (const auto& figure : figures) {
    EXPECT_THAT(figure.at("what").get<std::string>(), HasSubstr("one session"));
  }
}

TEST(BenchAdmissionCli, SaysWhichArgumentIsOutOfRange) {
  for (const char* argument : {"--milliseconds", "--rounds", "--watchers", "--live"}) {
    const ProgramResult result = Plimsoll({"bench", "admission", argument, "0"});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, StartsWith("plimsoll: bench admission: " + std::string(argument) +
                                       "=0: want 1 to "));
  }
}

}  // namespace
}  // namespace plimsoll
