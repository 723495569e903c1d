// plimsoll serve, capacity, reserve and release, as a person types them.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

constexpr char kLlama31[] = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
  "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
  "tie_word_embeddings": false, "max_position_embeddings": 131072, "rms_norm_eps": 1e-05,
  "rope_theta": 500000.0, "torch_dtype": "bfloat16"})";

ProgramResult Plimsoll(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), PlimsollProgram());
  return RunProgram(arguments);
}

ServerProcess Ledger(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--device",    "none",   "--listen",
                                        "127.0.0.1:0", "--http", "127.0.0.1:0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return ServerProcess(arguments);
}

// A client command against `server`, in JSON.
ProgramResult Ask(const ServerProcess& server, std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--server", server.address(), "--format", "json"});
  return Plimsoll(arguments);
}

ProgramResult Reserve(const ServerProcess& server, int64_t prompt, int64_t fresh) {
  return Ask(server, {"reserve", "--prompt-tokens", std::to_string(prompt), "--max-new-tokens",
                      std::to_string(fresh)});
}

nlohmann::json JsonOf(const ProgramResult& result) {
  return nlohmann::json::parse(result.out, nullptr, false);
}

void ExpectOneLine(const ProgramResult& result, int exit_code, const std::string& says) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(result.err.rfind("plimsoll: ", 0), 0) << result.err;
  EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
  EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
}

TEST(ServeCli, ReservesRefusesAndReleases) {
  const TempDir folder;
  folder.Write("llama31/config.json", kLlama31);
  const ServerProcess server = Ledger({"--model", folder.File("llama31"), "--blocks", "1000"});
  ASSERT_NE(server.address(), "") << server.output();
  EXPECT_NE(server.output().find("1000 blocks of 16 tokens for llama31"), std::string::npos)
      << server.output();

  const ProgramResult granted = Reserve(server, 1000, 600);
  EXPECT_EQ(granted.exit_code, 0) << granted.err;
  const nlohmann::json reservation = JsonOf(granted);
  EXPECT_EQ(reservation.size(), 5);
  EXPECT_EQ(reservation.at("decision"), "admitted");
  EXPECT_EQ(reservation.at("blocks"), 100);
  EXPECT_TRUE(reservation.contains("expire_time"));

  const ProgramResult never = Reserve(server, 20000, 1);
  EXPECT_EQ(never.exit_code, 3);
  EXPECT_EQ(JsonOf(never).at("decision"), "never");
  EXPECT_EQ(JsonOf(never).at("reason"), "NEVER_FITS");
  EXPECT_EQ(JsonOf(never).at("largest_fit_tokens"), 16000);

  const ProgramResult wait = Reserve(server, 14900, 1);
  EXPECT_EQ(wait.exit_code, 3);
  EXPECT_EQ(JsonOf(wait).at("decision"), "wait");
  EXPECT_EQ(JsonOf(wait).at("reason"), "NO_FREE_BLOCKS");
  EXPECT_EQ(JsonOf(wait).at("missing_blocks"), 32);

  const nlohmann::json capacity = JsonOf(Ask(server, {"capacity"}));
  EXPECT_EQ(capacity.at("free_blocks"), 900);
  EXPECT_EQ(capacity.at("reserved_blocks"), 100);
  EXPECT_EQ(capacity.at("block_bytes"), 2097152);
  EXPECT_EQ(capacity.at("epoch"), reservation.at("epoch"));

  const std::string id = reservation.at("reservation_id");
  EXPECT_EQ(Ask(server, {"release", id}).exit_code, 0);
  EXPECT_EQ(Ask(server, {"release", id}).exit_code, 0);
  EXPECT_EQ(JsonOf(Ask(server, {"capacity"})).at("free_blocks"), 1000);
}

TEST(ServeCli, TenantsHaveQuotasAndRequestsHaveClassesAndPriorities) {
  const ServerProcess server =
      Ledger({"--blocks", "10", "--quota", "chat=4:8", "--quota", "*=0:5", "--class",
              "batch=watermark:0", "--class", "careful=quantile:0.05"});
  const auto reserve = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"reserve", "--prompt-tokens", "80", "--max-new-tokens", "0"});
    return Ask(server, more);
  };
  EXPECT_EQ(JsonOf(reserve({"--tenant", "x"})).at("blocks"), 5);
  const ProgramResult kept = reserve({"--tenant", "y", "--priority", "2"});
  EXPECT_EQ(kept.exit_code, 3) << "four of the five left are chat's";
  EXPECT_EQ(JsonOf(kept).at("missing_blocks"), 4);
  EXPECT_EQ(JsonOf(reserve({"--tenant", "x"})).at("reason"), "TENANT_QUOTA");
  const ProgramResult never = Ask(
      server, {"reserve", "--prompt-tokens", "129", "--max-new-tokens", "0", "--tenant", "chat"});
  EXPECT_EQ(JsonOf(never).at("reason"), "TENANT_LIMIT");
  EXPECT_EQ(JsonOf(never).at("largest_fit_tokens"), 128);
  const ProgramResult part = Ask(server, {"reserve", "--prompt-tokens", "20", "--max-new-tokens",
                                          "60", "--tenant", "chat", "--class", "batch"});
  EXPECT_EQ(JsonOf(part).at("blocks"), 2) << "twenty tokens and one";
  ExpectOneLine(reserve({"--class", "fast"}), 2,
                "request_class=fast: want none or one of batch, careful");
  ExpectOneLine(reserve({"--priority", "3"}), 2, "priority=3: want -2 to 2");
}

TEST(ServeCli, TheGrantOutlivesTheConfirmWindowBecauseReserveConfirms) {
  const ServerProcess server = Ledger({"--blocks", "10"});
  const ProgramResult asked =
      Ask(server, {"reserve", "--prompt-tokens", "16", "--max-new-tokens", "0", "--ttl", "1h"});
  ASSERT_EQ(asked.exit_code, 0) << asked.err;
  const std::string until = JsonOf(asked).at("expire_time");
  const std::time_t now = std::time(nullptr);
  std::array<char, 32> soon{};
  const std::time_t in_half_an_hour = now + 1800;
  std::tm utc{};
  gmtime_r(&in_half_an_hour, &utc);
  std::strftime(soon.data(), soon.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  EXPECT_GT(until, soon.data());
}

TEST(ServeCli, ResizesALedgerThatCounts) {
  const ServerProcess server = Ledger({"--blocks", "100", "--max-blocks", "200"});
  ASSERT_NE(server.address(), "") << server.output();
  EXPECT_EQ(Reserve(server, 800, 0).exit_code, 0);
  const ProgramResult larger = Ask(server, {"resize", "--blocks", "200"});
  EXPECT_EQ(larger.exit_code, 0) << larger.err;
  EXPECT_EQ(JsonOf(larger).dump(), R"({"evicted_blocks":0,"moved_blocks":0,"previous_blocks":100,)"
                                   R"("total_blocks":200})");
  EXPECT_EQ(JsonOf(Ask(server, {"capacity"})).at("free_blocks"), 150);
  ExpectOneLine(Ask(server, {"resize", "--blocks", "49"}), 3,
                "needs at least 50 (live 0, reserved 50");
  ExpectOneLine(Ask(server, {"resize", "--blocks", "201"}), 2, "total_blocks=201: want 1 to 200");
  ExpectOneLine(Ask(server, {"resize", "--blocks", "0"}), 2, "--blocks=0");
  ExpectOneLine(Ask(server, {"resize", "--memory", "1GiB"}), 2, "no model says");
  ExpectOneLine(Ask(server, {"resize"}), 2, "either --blocks or --memory");
  EXPECT_EQ(JsonOf(Ask(server, {"capacity"})).at("total_blocks"), 200);
}

TEST(ServeCli, AsksWithoutReserving) {
  const ServerProcess server = Ledger({"--blocks", "10"});
  const ProgramResult asked =
      Ask(server, {"reserve", "--prompt-tokens", "16", "--max-new-tokens", "0", "--validate-only"});
  EXPECT_EQ(asked.exit_code, 0) << asked.err;
  EXPECT_EQ(JsonOf(asked).at("reservation_id"), "");
  EXPECT_EQ(JsonOf(Ask(server, {"capacity"})).at("free_blocks"), 10);
}

TEST(ServeCli, BadNumbersAreOneLineAndExitTwo) {
  const ServerProcess server = Ledger({"--blocks", "10"});
  ExpectOneLine(Reserve(server, -5, 1), 2, "--prompt-tokens=-5: want 1 to 1099511627776");
  ExpectOneLine(Reserve(server, 0, 1), 2, "--prompt-tokens=0");
  ExpectOneLine(Reserve(server, 1, -1), 2, "--max-new-tokens=-1");
  ExpectOneLine(Reserve(server, std::numeric_limits<int64_t>::max(), 1), 2, "--prompt-tokens=");
  for (const std::string bad : {"9223372036854775808", "1.5", "many", ""}) {
    ExpectOneLine(Ask(server, {"reserve", "--prompt-tokens", bad, "--max-new-tokens", "1"}), 2,
                  "--prompt-tokens");
  }
  for (const std::string bad : {"-1s", "5", "5 s", "25h", "1d", "s", "", "99999999999999999999s"}) {
    ExpectOneLine(
        Ask(server, {"reserve", "--prompt-tokens", "1", "--max-new-tokens", "1", "--wait", bad}), 2,
        "--wait");
  }
  ExpectOneLine(Ask(server, {"reserve", "--prompt-tokens", "1"}), 2, "--max-new-tokens");
  ExpectOneLine(Ask(server, {"release", "nonsense"}), 1, "no reservation nonsense");
  ExpectOneLine(Ask(server, {"release", "0123-1"}), 1, "STALE_EPOCH");
}

TEST(ServeCli, NoServerIsExitFour) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"capacity"}, {"release", "e1-1"}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--server", "127.0.0.1:1"});
    ExpectOneLine(Plimsoll(arguments), 4, "no server at 127.0.0.1:1");
  }
  ExpectOneLine(Plimsoll({"capacity", "--server", "nonsense"}), 2, "server");
}

TEST(ServeCli, WritesToAFileAndSaysWhenItCannot) {
  const TempDir folder;
  const ServerProcess server = Ledger({"--blocks", "10"});
  EXPECT_EQ(Ask(server, {"capacity", "-o", folder.File("c")}).exit_code, 0);
  EXPECT_EQ(nlohmann::json::parse(ReadFile(folder.File("c"))).at("total_blocks"), 10);
  ExpectOneLine(Ask(server, {"capacity", "-o", "/nonexistent/c"}), 1, "/nonexistent/c");
  ExpectOneLine(Ask(server, {"capacity", "-o", "/dev/full"}), 1, "/dev/full");
}

TEST(ServeCli, ListensOnAUnixSocketToo) {
  const TempDir folder;
  const std::string socket = "unix:" + folder.File("s");
  const ServerProcess server = Ledger({"--blocks", "10", "--listen", socket});
  const ProgramResult seen = Plimsoll({"capacity", "--server", socket});
  EXPECT_EQ(seen.exit_code, 0) << seen.err << server.output();
  EXPECT_NE(seen.out.find("10 blocks of 16 tokens"), std::string::npos) << seen.out;
}

TEST(ServeCli, APortInUseIsOneLineAndExitOne) {
  const ServerProcess server = Ledger({"--blocks", "10"});
  for (const std::vector<std::string>& ports :
       {std::vector<std::string>{"--listen", server.address(), "--http", "none"},
        {"--listen", "127.0.0.1:0", "--http", server.http()}}) {
    std::vector<std::string> arguments = {"serve", "--device", "none", "--blocks", "10"};
    arguments.insert(arguments.end(), ports.begin(), ports.end());
    ExpectOneLine(Plimsoll(arguments), 1, "Address already in use");
  }
}

TEST(ServeCli, ArgumentsThatMakeNoSenseAreExitTwo) {
  const TempDir folder;
  folder.Write("llama31/config.json", kLlama31);
  folder.Write("broken/config.json", "{");
  const std::string model = folder.File("llama31");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--device", "none"}, "--blocks"},
      {{"--device", "none", "--model", model}, "--memory"},
      {{"--device", "cpu"}, "--model"},
      {{"--device", "none", "--blocks", "0"}, "--blocks=0"},
      {{"--device", "none", "--blocks", "-1"}, "--blocks=-1"},
      {{"--device", "none", "--blocks", "10", "--block-tokens", "17"}, "block_tokens=17"},
      {{"--device", "none", "--blocks", "10", "--lease", "soon"}, "--lease=soon"},
      {{"--device", "none", "--blocks", "10", "--lease", "2h"}, "ttl"},
      {{"--device", "none", "--blocks", "10", "--listen", "8470"}, "--listen"},
      {{"--device", "none", "--blocks", "10", "--http", "8471"}, "--http"},
      {{"--device", "none", "--blocks", "10", "--memory", "1GiB"}, "--memory"},
      {{"--device", "none", "--blocks", "10", "--utilization", "1.5"}, "--utilization"},
      {{"--device", "none", "--model", model, "--memory", "lots"}, "--memory"},
      {{"--device", "none", "--model", folder.File("broken"), "--blocks", "10"}, "config.json"},
      {{"--device", "none", "--model", folder.File("absent"), "--blocks", "10"}, "absent"},
      {{"--device", "tpu", "--blocks", "10"}, "--device"},
      {{"--device", "none", "--blocks", "10", "--policy", "lucky"}, "--policy"},
      {{"--device", "none", "--blocks", "10", "--quota", "chat"}, "--quota=chat: want"},
      {{"--device", "none", "--blocks", "10", "--quota", "chat=1:x"}, "--quota=chat=1:x: want"},
      {{"--device", "none", "--blocks", "10", "--quota", "a=1:", "--quota", "a=2:"}, "once"},
      {{"--device", "none", "--blocks", "10", "--quota", "a=11:"}, "quotas.a.guaranteed=11"},
      {{"--device", "none", "--blocks", "10", "--kv", "int3"}, "--kv=int3: want fp32"},
      {{"--device", "none", "--blocks", "10", "--class", "a=best"}, "--class=a=best: want"},
      {{"--device", "none", "--blocks", "10", "--class", "a=watermark:2"}, "classes.a: watermark"},
      {{"--device", "none", "--blocks", "10", "--policy", "watermark", "--watermark", "-1"},
       "watermark"},
      {{"--model", "x", "--device", "cpu", "--victim", "oldest"}, "--victim"},
      {{"--device", "none", "--blocks", "10", "--swap", "1GiB"}, "--swap: a ledger"},
      {{"--model", "x", "--device", "cpu", "--swap", "some"}, "--swap"},
  };
  for (const auto& [more, says] : cases) {
    std::vector<std::string> arguments = {"serve"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    SCOPED_TRACE(says);
    ExpectOneLine(Plimsoll(arguments), 2, says);
  }
}

TEST(ServeCli, SizesALedgerByThePlan) {
  const TempDir folder;
  folder.Write("llama31/config.json", kLlama31);
  const std::string model = folder.File("llama31");
  const ServerProcess server =
      Ledger({"--model", model, "--memory", "80GiB", "--max-batched-tokens", "8192"});
  const auto plan =
      JsonOf(Plimsoll({"plan", "--model", model, "--memory", "80GiB", "--format", "json"}));
  EXPECT_EQ(JsonOf(Ask(server, {"capacity"})).at("total_blocks"), plan.at("capacity").at("blocks"));
  ExpectOneLine(Plimsoll({"serve", "--device", "none", "--model", model, "--memory", "8GiB"}), 1,
                "does not fit 8 GiB");
  const ServerProcess narrow = Ledger(
      {"--model", model, "--memory", "80GiB", "--max-batched-tokens", "8192", "--kv", "int8"});
  const auto narrow_plan = JsonOf(Plimsoll(
      {"plan", "--model", model, "--memory", "80GiB", "--kv", "int8", "--format", "json"}));
  EXPECT_EQ(JsonOf(Ask(narrow, {"capacity"})).at("total_blocks"),
            narrow_plan.at("capacity").at("blocks"));
}

TEST(ServeCli, ServesAnEngineThatReallyDecodes) {
  const TempDir folder;
  folder.Write("llama31/config.json", kLlama31);
  const ProgramResult made =
      Plimsoll({"make-model", "--like", folder.File("llama31"), "--out", folder.File("tiny"),
                "--layers", "2", "--hidden", "64", "--intermediate", "128", "--heads", "4",
                "--kv-heads", "2", "--head-dim", "16", "--vocab", "500"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const ServerProcess server({"--model", folder.File("tiny"), "--device", "cpu", "--memory",
                              "64MiB", "--kv", "int8", "--listen", "127.0.0.1:0", "--http",
                              "none"});
  ASSERT_NE(server.address(), "") << server.output();
  EXPECT_NE(server.output().find("weights: predicted 269.62 KiB, measured 269.62 KiB"),
            std::string::npos)
      << server.output();
  const std::string trace =
      folder.Write("trace.jsonl",
                   R"({"timestamp": 0, "input_length": 40, "output_length": 9, "hash_ids": []}
{"timestamp": 1, "input_length": 30, "output_length": 11, "hash_ids": []}
)");
  const ProgramResult replayed = Ask(server, {"replay", "--trace", trace, "--work", "generate"});
  ASSERT_EQ(replayed.exit_code, 0) << replayed.err;
  EXPECT_EQ(JsonOf(replayed).at("admitted"), 2);
  const nlohmann::json capacity = JsonOf(Ask(server, {"capacity"}));
  EXPECT_EQ(capacity.at("free_blocks"), capacity.at("total_blocks"));
  // Two layers of two heads, K and V: rows of 16 int8 numbers and their word; 16 tokens a block.
  EXPECT_EQ(capacity.at("block_bytes"), 2 * 2 * 2 * (16 + 4) * 16);
}

TEST(ServeCli, DrainsOnSigtermAndSaysWhatItCutOff) {
  ServerProcess idle = Ledger({"--blocks", "10"});
  idle.Signal(SIGTERM);
  EXPECT_EQ(idle.Wait(), 0) << idle.output();
  EXPECT_NE(idle.output().find("nothing was cut off"), std::string::npos) << idle.output();

  ServerProcess held = Ledger({"--blocks", "10", "--drain-timeout", "300ms"});
  ASSERT_EQ(Reserve(held, 17, 0).exit_code, 0);
  held.Signal(SIGINT);
  EXPECT_EQ(held.Wait(), 0) << held.output();
  EXPECT_NE(held.output().find("cut off 1 reservations that held 2 blocks"), std::string::npos)
      << held.output();
}

TEST(ServeCli, ADrainEndsWhenTheLastReservationDoes) {
  ServerProcess server = Ledger({"--blocks", "10", "--drain-timeout", "10m"});
  const std::string id = JsonOf(Reserve(server, 16, 0)).at("reservation_id");
  server.Signal(SIGTERM);
  ProgramResult refused;
  do {
    refused = Reserve(server, 16, 0);
    if (refused.exit_code == 0) Ask(server, {"release", JsonOf(refused).at("reservation_id")});
  } while (refused.exit_code == 0);
  EXPECT_EQ(refused.exit_code, 3) << refused.err;
  EXPECT_EQ(JsonOf(refused).at("reason"), "DRAINING");
  EXPECT_EQ(Ask(server, {"release", id}).exit_code, 0);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_NE(server.output().find("nothing was cut off"), std::string::npos) << server.output();
}

TEST(ServeCli, AClientsReservationEndsWithItsLease) {
  const ServerProcess server = Ledger({"--blocks", "10", "--lease", "1s"});
  ASSERT_EQ(Reserve(server, 160, 0).exit_code, 0);
  // Admitted only once the first lease is over.
  const ProgramResult waited =
      Ask(server, {"reserve", "--prompt-tokens", "160", "--max-new-tokens", "0", "--wait", "1m"});
  EXPECT_EQ(waited.exit_code, 0) << waited.err << waited.out;
}

TEST(ServeCli, ALedgerLearnsWhoHoldsWhatWhereItIsToldTo) {
  const ServerProcess learns = Ledger({"--blocks", "10", "--learning", "--lease", "5m"});
  const ProgramResult waits = Reserve(learns, 16, 0);
  EXPECT_EQ(waits.exit_code, 3) << waits.err;
  EXPECT_EQ(JsonOf(waits).at("decision"), "wait");
  EXPECT_EQ(JsonOf(waits).at("reason"), "LEARNING");
  EXPECT_GT(JsonOf(waits).at("retry_after_seconds"), 200);

  const ServerProcess knows = Ledger({"--blocks", "10", "--no-learning"});
  EXPECT_EQ(Reserve(knows, 16, 0).exit_code, 0);
  ExpectOneLine(Plimsoll({"serve", "--device", "cpu", "--model", "none", "--learning"}), 2,
                "--learning: want --device none");
  EXPECT_EQ(Plimsoll({"serve", "--device", "none", "--learning", "--no-learning"}).exit_code, 2);
}

}  // namespace
}  // namespace plimsoll
