// `plimsoll serve` at its network edge, as a process.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "tests/rpc/certificates.h"
#include "tests/rpc/raw_peer.h"
#include "tests/support/eventually.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

const std::vector<std::string> kLedger = {"--device", "none",        "--blocks", "10",
                                          "--listen", "127.0.0.1:0", "--http",   "none"};

std::vector<std::string> LedgerWith(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = kLedger;
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

ProgramResult Capacity(const ServerProcess& server, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {PlimsollProgram(), "capacity", "--server",
                                        server.address()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return RunProgram(arguments);
}

int AskForCapacity(const std::string& address) {
  return RunProgram({PlimsollProgram(), "capacity", "--server", address}).exit_code;
}

// Twice as many connections as the process has descriptors; when they are gone, the next caller is
// answered.
TEST(ServeNetworkCli, ServesAgainAfterItRanOutOfDescriptors) {
  ServerProcess server(kLedger, {"/bin/sh", "-c", "ulimit -n 128; exec \"$0\" \"$@\""});
  ASSERT_NE(server.address(), "") << server.output();
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 256; ++i) {
    peers.push_back(std::make_unique<RawPeer>(server.address()));
    ASSERT_TRUE(peers.back()->open());
  }
  const auto shed = [&] {
    return std::count_if(peers.begin(), peers.end(),
                         [](const auto& peer) { return peer->IsCutOffWithin({}); });
  };
  EXPECT_TRUE(Eventually([&] { return shed() > 128; })) << shed();
  EXPECT_LT(shed(), 256) << "those who came in time stay";
  peers.clear();
  EXPECT_TRUE(Eventually([&] { return AskForCapacity(server.address()) == 0; }));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.output();
}

TEST(ServeNetworkCli, SpeaksTlsAndTakesTokens) {
  const TestAuthority authority;
  const IssuedFiles files = authority.Issue("server");
  const IssuedFiles client = authority.Issue("client");
  const TempDir folder;
  const std::string tokens = folder.Write("tokens", "looker:read:a-secret-of-sixteen\n");
  const std::string right = folder.Write("right", "a-secret-of-sixteen\n");
  const std::string wrong = folder.Write("wrong", "a-guess-of-sixteen\n");
  ServerProcess server(
      LedgerWith({"--tls-certificate", files.certificate, "--tls-key", files.key, "--tls-client-ca",
                  authority.certificate(), "--tokens", tokens, "--log-format", "json"}));
  ASSERT_NE(server.address(), "") << server.output();
  const std::vector<std::string> proof = {
      "--ca", authority.certificate(), "--cert", client.certificate, "--key", client.key};
  const auto with = [&](const std::string& token) {
    std::vector<std::string> arguments = proof;
    arguments.insert(arguments.end(), {"--token-file", token});
    return Capacity(server, arguments);
  };
  EXPECT_EQ(with(right).exit_code, 0) << with(right).err;
  EXPECT_EQ(with(wrong).err, "plimsoll: this token is not known\n");
  EXPECT_EQ(Capacity(server, proof).exit_code, 1);
  EXPECT_EQ(Capacity(server, {}).exit_code, 4) << "plaintext";
  EXPECT_EQ(Capacity(server, {"--token-file", right}).exit_code, 4) << "plaintext";
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_NE(server.output().find("\"event\":\"authentication_failed\""), std::string::npos)
      << server.output();
  EXPECT_EQ(server.output().find("sixteen"), std::string::npos) << server.output();
}

TEST(ServeNetworkCli, AReplayKnowsItsServerAndProvesItself) {
  const TestAuthority authority;
  const IssuedFiles files = authority.Issue("server");
  const TempDir folder;
  const std::string tokens = folder.Write("tokens", "router:admission:a-secret-of-sixteen\n");
  const ServerProcess server(LedgerWith(
      {"--tls-certificate", files.certificate, "--tls-key", files.key, "--tokens", tokens}));
  std::vector<std::string> arguments = {
      PlimsollProgram(), "replay",
      "--trace",         std::string(PLIMSOLL_SOURCE_DIR) + "/tools/samples/chat.jsonl",
      "--server",        server.address(),
      "--limit",         "5",
      "--speed",         "1000"};
  EXPECT_EQ(RunProgram(arguments).exit_code, 4) << "plaintext";
  arguments.insert(arguments.end(), {"--ca", authority.certificate()});
  EXPECT_NE(RunProgram(arguments).err.find("token"), std::string::npos);
  arguments.insert(arguments.end(),
                   {"--token-file", folder.Write("token", "a-secret-of-sixteen\n")});
  const ProgramResult result = RunProgram(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
}

// A disk that is full, or nothing at all, where the log should go.
TEST(ServeNetworkCli, ServesOnWhereItCannotLog) {
  const TempDir folder;
  const std::string tokens = folder.Write("tokens", "looker:read:a-secret-of-sixteen\n");
  for (const std::string log : {"2>/dev/full", "2>&-"}) {
    ServerProcess server(LedgerWith({"--tokens", tokens}),
                         {"/bin/sh", "-c", "exec \"$0\" \"$@\" " + log});
    ASSERT_NE(server.address(), "") << log;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Capacity(server, {}).exit_code, 1) << log;
    EXPECT_EQ(
        Capacity(server, {"--token-file", folder.Write("t", "a-secret-of-sixteen")}).exit_code, 0)
        << log;
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0) << log;
  }
}

TEST(ServeNetworkCli, ArgumentsThatMakeNoSenseAreExitTwo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--listen", "0.0.0.0:0"}, "or say --insecure"},
      {{"--max-connections", "0"}, "--max-connections=0: want 1 to 1000000"},
      {{"--unix-user", "no such user"}, "--unix-user=no such user: want"},
      {{"--tokens", "/nonexistent"}, "--tokens: /nonexistent: cannot be read"},
      {{"--tokens", "/"}, "--tokens: /: cannot be read"},
      {{"--tls-certificate", "/nonexistent"}, "TLS wants both a certificate and its key"},
      {{"--log-level", "loud"}, "--log-level"},
  };
  for (const auto& [more, says] : cases) {
    std::vector<std::string> arguments = LedgerWith(more);
    arguments.insert(arguments.begin(), {PlimsollProgram(), "serve"});
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.exit_code, 2) << says;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

}  // namespace
}  // namespace plimsoll
