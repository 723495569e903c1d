// `plimsoll serve` at its network edge, as a process.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "tests/rpc/raw_peer.h"
#include "tests/support/eventually.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

const std::vector<std::string> kLedger = {"--device", "none",        "--blocks", "10",
                                          "--listen", "127.0.0.1:0", "--http",   "none"};

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

TEST(ServeNetworkCli, ArgumentsThatMakeNoSenseAreExitTwo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--listen", "0.0.0.0:0"}, "or say --insecure"},
      {{"--max-connections", "0"}, "--max-connections=0: want 1 to 1000000"},
      {{"--unix-user", "no such user"}, "--unix-user=no such user: want"},
  };
  for (const auto& [more, says] : cases) {
    std::vector<std::string> arguments = {PlimsollProgram(), "serve"};
    arguments.insert(arguments.end(), kLedger.begin(), kLedger.end());
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.exit_code, 2) << says;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

}  // namespace
}  // namespace plimsoll
