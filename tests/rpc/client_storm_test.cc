// Client processes that are killed while they hold reservations and wait for more.
//
// A hundred here; PLIMSOLL_STORM_CLIENTS=1000 for the long run.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/rpc/holding_process.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

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
