// `plimsoll replay` as a person runs it: real processes, exit codes, one line for what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kSample = std::string(PLIMSOLL_SOURCE_DIR) + "/tools/samples/chat.jsonl";

constexpr char kLlama31[] =
    R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": false,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
        "torch_dtype": "bfloat16"})";

ProgramResult Replay(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {PlimsollProgram(), "replay"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return RunProgram(argv);
}

// A server in a process of its own, on a Unix socket, until the end of the test.
class ServerProcess {
 public:
  explicit ServerProcess(const std::vector<std::string>& pool) {
    std::vector<std::string> argv = {PlimsollProgram(), "serve",  "--listen",
                                     address(),         "--http", "none"};
    argv.insert(argv.end(), pool.begin(), pool.end());
    std::vector<char*> arguments;
    for (std::string& argument : argv) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    const int failed =
        posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    PLIMSOLL_CHECK(failed == 0, failed);
  }
  ~ServerProcess() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  std::string address() const { return "unix:" + folder_.File("socket"); }
  json Capacity() const {
    const ProgramResult result =
        RunProgram({PlimsollProgram(), "capacity", "--server", address(), "--format", "json"});
    return result.exit_code == 0 ? json::parse(result.out) : json();
  }
  bool Ready() const {
    for (int attempt = 0; attempt < 200; ++attempt) {
      if (!Capacity().is_null()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

 private:
  const TempDir folder_;
  pid_t pid_ = 0;
};

TEST(ReplayCli, SimulatesTheSampleTwiceToTheSameBytes) {
  const std::vector<std::string> arguments = {"--trace", kSample, "--simulate", "--blocks", "600",
                                              "--seed",  "7",     "--format",   "json"};
  const ProgramResult first = Replay(arguments);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(first.err, "") << "progress is for terminals";
  EXPECT_EQ(Replay(arguments).out, first.out);
  const json report = json::parse(first.out);
  EXPECT_EQ(report["requests"], 161);
  EXPECT_EQ(report["admitted"], 160);
  EXPECT_EQ(report["refusals"]["NEVER_FITS"], 1);
  EXPECT_GT(report["waited"], 0);
  EXPECT_EQ(report["seed"], 7);
  EXPECT_LE(report["peak_blocks"], 600);
}

// Of the sample's prompts, all but the first find the 512 tokens that all begin with.
TEST(ReplayCli, ReplaysThePrefixCacheAlone) {
  for (const std::string eviction : {"fifo", "lru", "learned"}) {
    const ProgramResult result =
        Replay({"--trace", kSample, "--simulate", "--cache-only", "--eviction", eviction,
                "--block-tokens", "512", "--blocks", "300", "--format", "json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const json report = json::parse(result.out);
    EXPECT_EQ(report["requests"], 161);
    EXPECT_EQ(report["eviction"], eviction);
    EXPECT_GE(report["prefix_hit_blocks"], 160);
    EXPECT_LE(report["prefix_hit_blocks"], report["prompt_blocks"]);
    EXPECT_LE(report["peak_blocks"], 300);
  }
}

TEST(ReplayCli, SimulatesWithSharedPrefixesWhereAsked) {
  const ProgramResult result = Replay({"--trace", kSample, "--simulate", "--blocks", "600",
                                       "--eviction", "learned", "--format", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json report = json::parse(result.out);
  EXPECT_EQ(report["admitted"], 160);
  EXPECT_GT(report["prefix_hit_blocks"], 1000) << "32 blocks of 16 tokens for most requests";
  EXPECT_EQ(report["prefix_hit_tokens"], report["prefix_hit_blocks"].get<int>() * 16);
}

TEST(ReplayCli, DecodesStepByStepUnderEveryPolicy) {
  for (const std::string policy : {"never-evict", "watermark", "quantile"}) {
    const std::vector<std::string> arguments = {
        "--trace",   kSample,      "--simulate", "--blocks", "600",      "--policy", policy,
        "--context", "9600",       "--limit",    "100",      "--victim", "cheapest", "--trace",
        kSample,     "--arrivals", "8x",         "--format", "json"};
    const ProgramResult result = Replay(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(Replay(arguments).out, result.out);
    const json report = json::parse(result.out);
    EXPECT_EQ(report["requests"], 200) << "a hundred of each";
    EXPECT_EQ(report["admitted"], 200);
    EXPECT_EQ(report["policy"], policy);
    EXPECT_LE(report["overflows"], report["preempted"]);
    EXPECT_EQ(report["recomputed_tokens"] == 0, report["preempted"] == 0);
    EXPECT_LE(report["queue_us"]["p50"], report["queue_us"]["p99"]);
    EXPECT_EQ(report["mean_sequences"] > 1, true) << report["mean_sequences"];
  }
}

TEST(ReplayCli, ABacklogRunsMoreWhereLessIsPromised) {
  const auto running = [](const std::string& policy, const std::string& declared) {
    const ProgramResult result =
        Replay({"--trace", kSample, "--simulate", "--backlog", "--blocks", "600", "--context",
                "9600", "--policy", policy, "--declare", declared, "--format", "json"});
    PLIMSOLL_CHECK(result.exit_code == 0, result.err);
    return json::parse(result.out)["mean_sequences"].get<double>();
  };
  const double context = running("never-evict", "context");
  const double truth = running("never-evict", "true");
  EXPECT_LT(context, running("never-evict", "4000"));
  EXPECT_LT(running("never-evict", "4000"), running("never-evict", "1000,4000"));
  EXPECT_LT(context, running("never-evict", "1000-4000"));
  EXPECT_LT(context, truth);
  EXPECT_LT(truth, running("watermark", "context"));
}

TEST(ReplayCli, ASweepIsATableAndAPage) {
  TempDir folder;
  const std::string page = folder.File("sweep.html");
  const std::vector<std::string> arguments = {"--trace",  kSample, "--simulate", "--backlog",
                                              "--blocks", "2000",  "--sweep",    page};
  const ProgramResult text = Replay(arguments);
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("quantile     1 %"));
  const std::string first = ReadFile(page);
  EXPECT_THAT(first, HasSubstr("<td>"));
  EXPECT_EQ(Replay(arguments).out, text.out);
  EXPECT_EQ(ReadFile(page), first);
  const ProgramResult full = Replay(
      {"--trace", kSample, "--simulate", "--backlog", "--blocks", "2000", "--sweep", "/dev/full"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, HasSubstr("/dev/full"));
}

TEST(ReplayCli, SizesTheSimulatedPoolByTheModelAndItsContext) {
  TempDir folder;
  const std::string model = folder.Write("llama/config.json", kLlama31);
  const ProgramResult result = Replay({"--trace", kSample, "--simulate", "--model", model,
                                       "--memory", "80GiB", "--format", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json report = json::parse(result.out);
  EXPECT_EQ(report["admitted"], 160);
  EXPECT_EQ(report["waited"], 0);
  EXPECT_EQ(report["refusals"]["NEVER_FITS"], 1) << "151,000 tokens exceed the context";
  EXPECT_GT(report["total_blocks"], 20000);
}

TEST(ReplayCli, WritesToAFileAndSaysWhenItCannot) {
  TempDir folder;
  const std::string file = folder.File("report.txt");
  ASSERT_EQ(Replay({"--trace", kSample, "--simulate", "--blocks", "600", "-o", file}).exit_code, 0);
  EXPECT_THAT(ReadFile(file), HasSubstr("160, "));
  const ProgramResult full =
      Replay({"--trace", kSample, "--simulate", "--blocks", "600", "-o", "/dev/full"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, HasSubstr("/dev/full"));
}

TEST(ReplayCli, HoldsOnAServerProcessAndLeavesItEmpty) {
  ServerProcess server({"--device", "none", "--blocks", "600"});
  ASSERT_TRUE(server.Ready());
  const ProgramResult result = Replay({"--trace", kSample, "--server", server.address(), "--speed",
                                       "40", "--limit", "100", "--format", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const json report = json::parse(result.out);
  EXPECT_EQ(report["requests"], 100);
  EXPECT_EQ(report["admitted"].get<int>() + report["refused"].get<int>(), 100);
  EXPECT_GT(report["waited"], 0) << "at forty times the speed no machine keeps 600 blocks free";
  EXPECT_EQ(report["refusals"].value("NEVER_FITS", 0), report["refused"]);
  EXPECT_EQ(report["leaked_blocks"], 0);
  EXPECT_EQ(report["conserved"], true);
  EXPECT_LE(report["peak_blocks"], 600);
  EXPECT_LE(report["admission_us"]["p50"], report["admission_us"]["p99"]);
  EXPECT_EQ(server.Capacity()["free_blocks"], 600);
}

TEST(ReplayCli, WithoutAServerItExitsWith4) {
  TempDir folder;
  const ProgramResult result =
      Replay({"--trace", kSample, "--server", "unix:" + folder.File("nobody")});
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.err, HasSubstr("nobody"));
}

TEST(ReplayCli, GenerationOnALedgerFailsAndSaysSo) {
  ServerProcess server({"--device", "none", "--blocks", "600"});
  ASSERT_TRUE(server.Ready());
  const ProgramResult result = Replay({"--trace", kSample, "--server", server.address(), "--work",
                                       "generate", "--limit", "3", "--speed", "1000"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("3 requests ended in errors"));
  EXPECT_EQ(server.Capacity()["free_blocks"], 600);
}

// Ten requests of 100 + 20 tokens, all at once, on an engine with 30 blocks.
json GeneratedUnder(const std::string& policy, TempDir& folder) {
  const std::string like = folder.Write("llama/config.json", kLlama31);
  const std::string model = folder.File("small");
  const ProgramResult made =
      RunProgram({PlimsollProgram(), "make-model", "--like",     like, "--out",          model,
                  "--layers",        "2",          "--hidden",   "64", "--intermediate", "128",
                  "--heads",         "4",          "--kv-heads", "2",  "--head-dim",     "16",
                  "--vocab",         "300",        "--seed",     "1"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  ServerProcess server({"--model", model, "--device", "cpu", "--blocks", "30", "--policy", policy,
                        "--watermark", "0"});
  EXPECT_TRUE(server.Ready());
  std::string trace = "num_prefill_tokens,num_decode_tokens\n";
  for (int i = 0; i < 10; ++i) trace += "1000,200\n";
  const ProgramResult result =
      Replay({"--trace", folder.Write("trace.csv", trace), "--server", server.address(), "--work",
              "generate", "--scale-lengths", "0.1", "--vocab", "300", "--format", "json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(server.Capacity()["free_blocks"], 30);
  return json::parse(result.out);
}

TEST(ReplayCli, GeneratesOnAnEngineEveryTokenItAskedFor) {
  TempDir folder;
  const json report = GeneratedUnder("never-evict", folder);
  EXPECT_EQ(report["admitted"], 10);
  EXPECT_GT(report["waited"], 0) << "ten requests of 8 blocks do not fit in 30";
  EXPECT_EQ(report["preempted"], 0);
  EXPECT_EQ(report["generated_tokens"], 200);
  EXPECT_GT(report["tokens_per_second"], 0);
  EXPECT_EQ(report["leaked_blocks"], 0);
  EXPECT_EQ(report["device"], "cpu");
  EXPECT_FALSE(report["memory"].empty());
}

// Four start with 7 blocks each, and cannot all have the eighth.
TEST(ReplayCli, AnEngineThatPromisesLessStopsRequestsAndLosesNone) {
  TempDir folder;
  const json report = GeneratedUnder("watermark", folder);
  EXPECT_EQ(report["admitted"], 10);
  EXPECT_GT(report["preempted"], 0);
  EXPECT_EQ(report["generated_tokens"], 200);
  EXPECT_EQ(report["leaked_blocks"], 0);
}

struct BadUse {
  std::vector<std::string> arguments;
  std::string message;
};

TEST(ReplayCli, BadUseIsOneLineAndExitCode2) {
  TempDir folder;
  const std::string broken = folder.Write("broken.csv",
                                          "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                                          "2023-11-16 18:15:46,-374,44\n");
  const BadUse uses[] = {
      {{"--trace", broken, "--simulate", "--blocks", "9"},
       "broken.csv line 2: ContextTokens=-374: want a whole number from 1 to"},
      {{"--trace", folder.File("none"), "--simulate", "--blocks", "9"}, "No such file"},
      {{"--trace", folder.Write("empty", ""), "--simulate", "--blocks", "9"}, "no requests"},
      {{"--trace", kSample, "--format-of-trace", "azure", "--simulate", "--blocks", "9"},
       "chat.jsonl line 1: header="},
      {{"--trace", kSample, "--format-of-trace", "vidur"}, "vidur"},
      {{"--simulate", "--blocks", "9"}, "--trace"},
      {{"--trace", kSample, "--simulate"}, "no pool to simulate"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--memory", "1GiB"}, "two sizes"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--server", "a:1"},
       "leave out --server"},
      {{"--trace", kSample, "--blocks", "9"}, "go with --simulate"},
      {{"--trace", kSample, "--eviction", "lru"}, "--eviction goes with --simulate"},
      {{"--trace", kSample, "--cache-only"}, "--cache-only goes with --simulate"},
      {{"--trace", kSample, "--simulate", "--cache-only", "--memory", "1GiB"},
       "--cache-only takes --blocks"},
      {{"--trace", kSample, "--simulate", "--cache-only", "--eviction", "off"}, "other than off"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--eviction", "mru"}, "mru"},
      {{"--trace", kSample, "--simulate", "--blocks", "0"}, "--blocks=0"},
      {{"--trace", kSample, "--simulate", "--blocks", "-3"}, "--blocks=-3"},
      {{"--trace", kSample, "--simulate", "--blocks", "18446744073709551616"}, "--blocks"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--block-tokens", "12"}, "=12"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--limit", "0"}, "--limit=0"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--speed", "0"}, "--speed=0"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--speed", "nan"}, "--speed=nan"},
      {{"--trace", kSample, "--simulate", "--model", folder.File("none"), "--memory", "1GiB"},
       "none"},
      {{"--trace", kSample, "--server", "nonsense"}, "nonsense"},
      {{"--trace", kSample, "--backlog"}, "go with --simulate"},
      {{"--trace", kSample, "--policy", "watermark"}, "go with --simulate"},
      {{"--trace", kSample, "--sweep", folder.File("page")}, "go with --simulate"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--declare", "64"}, "--declare goes"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--policy", "best"}, "best"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--policy", "watermark", "--watermark",
        "1"},
       "watermark=1"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--policy", "quantile",
        "--overflow-goal", "0"},
       "overflow_goal=0"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--backlog", "--declare", "much"},
       "--declare=much"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--backlog", "--declare", "9-5"},
       "--declare=9-5"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--backlog", "--declare", "64,"},
       "--declare=64,"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--backlog", "--declare", "64,0"},
       "--declare=64,0"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--backlog", "--decode-ms", "0"},
       "--decode-ms=0"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--context", "0"}, "--context=0"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--context", "1"}, "no request of at"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--arrivals", "x"}, "--arrivals"},
      {{"--trace", kSample, "--simulate", "--blocks", "9", "--arrivals", "0"}, "--arrivals=0"},
      {{"--trace", kSample, "--wait", "soon"}, "--wait=soon"}};
  for (const BadUse& use : uses) {
    const ProgramResult result = Replay(use.arguments);
    EXPECT_EQ(result.exit_code, 2) << use.message << "\n" << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr(use.message));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

}  // namespace
}  // namespace plimsoll
