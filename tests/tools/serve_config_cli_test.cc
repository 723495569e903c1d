// `plimsoll serve --config`: where settings come from, what --check-config says, and SIGHUP.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "rpc/config_file.h"
#include "tests/rpc/certificates.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

constexpr char kLedgerFile[] = R"(# a ledger
device: "none"
blocks: 10
listen: "127.0.0.1:0"
http: "none"
)";

ProgramResult Check(const std::vector<std::string>& more,
                    const std::vector<std::string>& environment = {}) {
  std::vector<std::string> arguments = {"env"};
  arguments.insert(arguments.end(), environment.begin(), environment.end());
  arguments.insert(arguments.end(), {PlimsollProgram(), "serve", "--check-config"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return RunProgram(arguments);
}

nlohmann::json Checked(const std::vector<std::string>& more,
                       const std::vector<std::string>& environment = {}) {
  const ProgramResult result = Check(more, environment);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.exit_code == 0 ? nlohmann::json::parse(result.out) : nlohmann::json();
}

TEST(ServeConfigCli, TheCommandLineGoesBeforeTheEnvironmentAndThatBeforeTheFile) {
  const TempDir folder;
  const std::string file = folder.Write("c", std::string(kLedgerFile) +
                                                 "lease: \"5s\"\n"
                                                 "max_connections: 7\n");
  const std::vector<std::string> config = {"--config", file};
  EXPECT_EQ(Checked(config).at("lease"), "5s");
  EXPECT_EQ(Checked(config, {"PLIMSOLL_LEASE=6s"}).at("lease"), "6s");
  const nlohmann::json all =
      Checked({"--config", file, "--lease", "7s"}, {"PLIMSOLL_LEASE=6s", "PLIMSOLL_BLOCKS=20"});
  EXPECT_EQ(all.at("lease"), "7s");
  EXPECT_EQ(all.at("blocks"), "20") << "64-bit numbers are strings in protobuf's JSON";
  EXPECT_EQ(all.at("max_connections"), "7");
  EXPECT_EQ(all.at("utilization"), 0.92) << "a default";
  EXPECT_EQ(Checked({}, {"PLIMSOLL_CONFIG=" + file}).at("lease"), "5s");
  EXPECT_EQ(Checked(config, {"PLIMSOLL_LISTEN=127.0.0.1:1,127.0.0.1:2"}).at("listen").size(), 2);
}

TEST(ServeConfigCli, WhatItPrintsIsAFileThatSaysTheSame) {
  const TempDir folder;
  const ProgramResult first = Check({"--device", "none", "--blocks", "10", "--quota", "a=1:5",
                                     "--quota", "*=0:9", "--no-reflection", "--watermark", "0.05"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const ProgramResult again = Check({"--config", folder.Write("c.json", first.out)});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.out, first.out);
  EXPECT_NE(first.out.find("\"no_reflection\": true"), std::string::npos) << first.out;
}

TEST(ServeConfigCli, AnOptionHidesWhatItExcludesInTheFile) {
  const TempDir folder;
  const std::string file = folder.Write("c", kLedgerFile);
  folder.Write("model/config.json", R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
      "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
      "num_key_value_heads": 2, "vocab_size": 500, "torch_dtype": "bfloat16"})");
  const nlohmann::json checked =
      Checked({"--config", file, "--memory", "1GiB", "--model", folder.File("model")});
  EXPECT_EQ(checked.at("memory"), "1GiB");
  EXPECT_FALSE(checked.contains("blocks"));
}

TEST(ServeConfigCli, AFileThatMakesNoSenseIsOneLineAndExitTwo) {
  const TempDir folder;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"device: \"none\"\nblokcs: 10\n", "c: line 2:"},
      {"device: \"none\"\nblocks: many\n", "c: line 2:"},
      {"blocks: 10\nblocks: 11\n", "c: line 2:"},
      {"model: \"/m\xfe\"\n", ": want UTF-8"},
      {"blocks: 10\nutilization: -nan\n", "c: utilization=-nan: want a finite number"},
      {R"({"blocks": 10, "overflow_goal": "Infinity"})",
       "c: overflow_goal=inf: want a finite number"},
      {"blocks: 'a\x1b[2J'\n", "c: line 1: Expected integer, got: 'a?[2J'"},
      {R"({"device": "none", "blokcs": 10})", "blokcs"},
      {R"({"device": "none", "blocks": 10)", "c: "},
      {"device: \"tpu\"\nblocks: 10\n", "--device"},
      {"device: \"none\"\nblocks: 0\n", "--blocks=0"},
      {"device: \"none\"\nblocks: 10\nlease: \"soon\"\n", "--lease=soon"},
  };
  for (const auto& [text, says] : cases) {
    const ProgramResult result = Check({"--config", folder.Write("c", text)});
    EXPECT_EQ(result.exit_code, 2) << text;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(Check({"--config", "/nonexistent"}).err, "plimsoll: /nonexistent: cannot be read\n");
  const ProgramResult a_folder = Check({"--config", folder.path()});
  EXPECT_EQ(a_folder.exit_code, 2);
  EXPECT_EQ(a_folder.err, "plimsoll: " + folder.path() + ": cannot be read\n");
  EXPECT_EQ(Check({"--config", folder.Write("c", kLedgerFile)}, {"PLIMSOLL_BLOCKS=ten"}).exit_code,
            2);
}

// An option without a field could not be configured; a field without one would do nothing.
TEST(ServeConfigCli, EveryOptionIsAFieldAndEveryFieldAnOption) {
  const std::string help = RunProgram({PlimsollProgram(), "serve", "--help"}).out;
  std::set<std::string> options;
  for (size_t at = help.find("\n  --"); at != std::string::npos; at = help.find("\n  --", at + 1)) {
    const size_t start = at + 5;
    std::string name = help.substr(start, help.find_first_of(" \n,", start) - start);
    std::replace(name.begin(), name.end(), '-', '_');
    options.insert(name);
  }
  options.erase("config");
  options.erase("check_config");
  const std::vector<std::string> names = ConfigNames();
  EXPECT_EQ(options, std::set<std::string>(names.begin(), names.end()));
}

TEST(ServeConfigCli, SighupTakesWhatCanChangeAndNamesTheRest) {
  const TempDir folder;
  const std::string tokens = folder.Write("tokens", "a:read:first-token-0123456\n");
  const std::string start = std::string(kLedgerFile) + "tokens: \"" + tokens + "\"\n";
  const std::string file = folder.Write("c", start);
  ServerProcess server({"--config", file});
  ASSERT_NE(server.address(), "") << server.output();
  const auto capacity = [&](const std::string& token) {
    return RunProgram({PlimsollProgram(), "capacity", "--server", server.address(), "--token-file",
                       folder.Write("t", token)})
        .exit_code;
  };
  EXPECT_EQ(capacity("first-token-0123456"), 0);
  folder.Write("tokens", "a:read:second-token-012345\n");
  folder.Write("c", start + "log_level: \"debug\"\nmax_connections: 5\n");
  server.Signal(SIGHUP);
  EXPECT_TRUE(Eventually([&] { return capacity("second-token-012345") == 0; }));
  EXPECT_EQ(capacity("first-token-0123456"), 1);
  folder.Write("c", "blokcs: 10");
  server.Signal(SIGHUP);
  EXPECT_EQ(capacity("second-token-012345"), 0);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  const std::string said = server.output();
  EXPECT_NE(said.find("config_reloaded log_level=\"info -> debug\" max_connections=\"10000 -> 5\" "
                      "needs_restart=max_connections"),
            std::string::npos)
      << said;
  EXPECT_EQ(said.find("token-"), std::string::npos) << "no token is shown: " << said;
}

// Seven of ten blocks are held when the maximum becomes three, and a class comes.
TEST(ServeConfigCli, SighupTakesQuotasAndClasses) {
  const TempDir folder;
  const std::string start = std::string(kLedgerFile) + "lease: \"10m\"\n";
  const std::string file = folder.Write("c", start + "quota: \"a=0:8\"\n");
  ServerProcess server({"--config", file});
  ASSERT_NE(server.address(), "") << server.output();
  const auto reserve = [&](int blocks, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {PlimsollProgram(),          "reserve",  "--server",
                                          server.address(),           "--format", "json",
                                          "--max-new-tokens",         "0",        "--prompt-tokens",
                                          std::to_string(16 * blocks)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return nlohmann::json::parse(RunProgram(arguments).out, nullptr, false);
  };
  const nlohmann::json held = reserve(7, {"--tenant", "a"});
  ASSERT_EQ(held.at("decision"), "admitted");
  folder.Write("c", start + "quota: \"a=0:3\"\nquota: \"b=11:11\"\n");
  server.Signal(SIGHUP);
  EXPECT_TRUE(server.Says("config_kept why=\"quotas.b.guaranteed=11"));
  EXPECT_EQ(reserve(1, {"--tenant", "a"}).at("decision"), "admitted") << "as before";
  folder.Write("c", start + "quota: \"a=0:3\"\nclass: \"chat=watermark:0.1\"\n");
  server.Signal(SIGHUP);
  EXPECT_TRUE(
      server.Says("config_reloaded class=\" -> chat=watermark:0.1\" quota=\"a=0:8 -> a=0:3\""))
      << server.output();
  EXPECT_EQ(reserve(1, {"--tenant", "a"}).at("reason"), "TENANT_QUOTA");
  EXPECT_EQ(reserve(1, {"--tenant", "b", "--class", "chat"}).at("decision"), "admitted");
  EXPECT_EQ(RunProgram({PlimsollProgram(), "release", held.at("reservation_id"), "--server",
                        server.address()})
                .exit_code,
            0);
  EXPECT_EQ(reserve(2, {"--tenant", "a"}).at("decision"), "admitted");
  EXPECT_EQ(reserve(1, {"--tenant", "a"}).at("reason"), "TENANT_QUOTA");
  folder.Write("c", start + "quota: \"a=0:4\"\nclass: \"chat=watermark:0.1\"\n");
  server.Signal(SIGHUP);
  EXPECT_TRUE(server.Says("config_reloaded quota=\"a=0:3 -> a=0:4\"\n"))
      << "what differs from what ran, not from the start: " << server.output();
  server.Signal(SIGTERM);
  server.Wait();
  EXPECT_EQ(server.output().find("needs_restart"), std::string::npos) << server.output();
}

// In place, as large as before and as old, so that the server does not see by itself that it
// changed.
void Overwrite(const std::string& path, const std::string& with) {
  constexpr size_t kSize = 8192;
  std::string text = ReadFile(with);
  ASSERT_LT(text.size(), kSize);
  text.resize(kSize, '\n');
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  if (!file.is_open()) file.open(path, std::ios::out | std::ios::binary);
  file << text;
  file.close();
  ASSERT_EQ(std::filesystem::file_size(path), kSize);
  const std::array<timespec, 2> times = {};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times.data(), 0), 0);
}

// Of a reload with good certificates and quotas that the pool cannot keep, nothing is taken.
TEST(ServeConfigCli, SighupTakesAllOrNothing) {
  const TempDir folder;
  const TestAuthority before, after;
  const std::string certificate = folder.File("cert.pem"), key = folder.File("key.pem");
  const auto put = [&](const IssuedFiles& files) {
    Overwrite(certificate, files.certificate);
    Overwrite(key, files.key);
  };
  put(before.Issue("before"));
  const std::string start = std::string(kLedgerFile) + "tls_certificate: \"" + certificate +
                            "\"\ntls_key: \"" + key + "\"\n";
  ServerProcess server({"--config", folder.Write("c", start + "log_level: \"info\"\n")});
  ASSERT_NE(server.address(), "") << server.output();
  const auto serves = [&](const TestAuthority& authority) {
    return RunProgram({PlimsollProgram(), "capacity", "--server", server.address(), "--ca",
                       authority.certificate()})
               .exit_code == 0;
  };
  ASSERT_TRUE(serves(before));
  put(after.Issue("after"));
  folder.Write("c", start + "log_level: \"error\"\nquota: \"b=11:11\"\n");
  server.Signal(SIGHUP);
  ASSERT_TRUE(server.Says("config_kept why=\"quotas.b.guaranteed=11")) << server.output();
  std::this_thread::sleep_for(std::chrono::seconds(3));  // what was taken would be seen by now
  EXPECT_TRUE(serves(before));
  folder.Write("c", start + "log_level: \"info\"\nquota: \"b=1:10\"\n");
  server.Signal(SIGHUP);
  EXPECT_TRUE(server.Says("config_reloaded quota=\" -> b=1:10\"")) << server.output();
  EXPECT_TRUE(Eventually([&] { return serves(after); }));
  EXPECT_FALSE(serves(before));
}

}  // namespace
}  // namespace plimsoll
