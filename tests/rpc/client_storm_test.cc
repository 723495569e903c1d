// Client processes that are killed while they hold reservations and wait for more.
//
// A hundred here; PLIMSOLL_STORM_CLIENTS=1000 for the long run.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "tests/rpc/test_server.h"

extern char** environ;

namespace plimsoll {
namespace {

// A holding_client, from its first word until it is killed.
class HoldingClient {
 public:
  HoldingClient(const std::string& address, int64_t tokens) {
    std::array<int, 2> ends{};
    PLIMSOLL_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, errno);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string program = std::string(PLIMSOLL_BINARY_DIR) + "/tests/holding_client";
    std::string where = address;
    std::string prompt = std::to_string(tokens);
    std::array<char*, 4> arguments = {program.data(), where.data(), prompt.data(), nullptr};
    const int failed =
        posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments.data(), environ);
    PLIMSOLL_CHECK(failed == 0, program, failed);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    socket_ = ends[0];
  }
  ~HoldingClient() {
    Kill();
    close(socket_);
  }
  HoldingClient(const HoldingClient&) = delete;
  HoldingClient& operator=(const HoldingClient&) = delete;

  // Whether it says that it holds something, before it ends.
  bool Holds() {
    char first = 0;
    return read(socket_, &first, 1) == 1 && first == 'h';
  }
  void AskForMore() { PLIMSOLL_CHECK(write(socket_, "\n", 1) == 1, errno); }
  void Kill() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  int socket_ = -1;
};

int StormClients() {
  const char* const asked = std::getenv("PLIMSOLL_STORM_CLIENTS");
  return asked == nullptr ? 100 : std::atoi(asked);
}

TEST(ClientStorm, AKilledClientGivesBackEverythingWithinItsLease) {
  TestServer server;
  server.Start();
  HoldingClient client(server.address(), 160);
  ASSERT_TRUE(client.Holds());
  client.AskForMore();
  EXPECT_TRUE(Eventually([&] { return server.Now().reservations == 4; }));
  client.Kill();
  EXPECT_GE(server.Now().blocks.reserved, Blocks(10)) << "the lease has not ended yet";
  server.clock.Advance(std::chrono::seconds(31));
  EXPECT_TRUE(Eventually([&] { return server.AllFree(); }));
  EXPECT_EQ(server.Now().reservations, 0);
  EXPECT_GE(server.Now().expired, 1);
}

TEST(ClientStorm, WavesOfKilledClientsLeaveAllBlocksFree) {
  const int clients = StormClients();
  const int wave = clients >= 1000 ? 50 : 25;
  TestServer server({.blocks = Blocks(1000)});
  server.Start();
  for (int done = 0; done < clients; done += wave) {
    // Each holds 20 blocks and asks for 60 more, of 1000, so that most are killed in the queue.
    std::vector<std::unique_ptr<HoldingClient>> running;
    for (int i = 0; i < wave; ++i) {
      running.push_back(std::make_unique<HoldingClient>(server.address(), 320));
    }
    for (const auto& client : running) ASSERT_TRUE(client->Holds()) << "after " << done;
    for (const auto& client : running) client->AskForMore();
    ASSERT_TRUE(Eventually([&] { return server.Now().waiting > 0; })) << "after " << done;
    running.clear();
    ASSERT_TRUE(Eventually([&] { return server.Now().waiting == 0; })) << "after " << done;
    server.clock.Advance(std::chrono::seconds(31));
    ASSERT_TRUE(Eventually([&] { return server.AllFree(); })) << "after " << done;
  }
  EXPECT_EQ(server.Now().reservations, 0);
  EXPECT_GE(server.Now().admitted, clients);
  EXPECT_EQ(server.server->violations(), 0);
  EXPECT_TRUE(server.Connect()->Reserve(RequestOf(16, 0)).ok()) << "and it still serves";
}

}  // namespace
}  // namespace plimsoll
