// WatchCapacity: the whole state first, then changes.
#include <gtest/gtest.h>

#include "plimsoll/v1/capacity.grpc.pb.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

class WatchService : public testing::Test {
 protected:
  WatchService() { server_.Start(); }
  TestServer server_;
};

TEST_F(WatchService, SaysTheStateNowAndThenEachChange) {
  const std::unique_ptr<Client> client = server_.Connect();
  Granted(client->Reserve(RequestOf(160, 0)));
  std::vector<CapacityReport> seen;
  const absl::Status status =
      client->WatchCapacity(Duration::zero(), [&](const CapacityReport& report) {
        seen.push_back(report);
        // Each report makes the next change.
        std::thread([&] { Granted(client->Reserve(RequestOf(16, 0))); }).join();
        return seen.size() < 5;
      });
  EXPECT_TRUE(status.ok()) << status;
  ASSERT_EQ(seen.size(), 5);
  EXPECT_EQ(seen[0].snapshot.blocks.reserved, Blocks(10));
  for (size_t i = 1; i < seen.size(); ++i) {
    EXPECT_GT(seen[i].snapshot.revision, seen[i - 1].snapshot.revision);
    EXPECT_TRUE(seen[i].snapshot.blocks.Conserved());
  }
  EXPECT_GE(seen[4].snapshot.blocks.reserved, Blocks(14));
}

TEST_F(WatchService, ChangesWithinTheIntervalAreMerged) {
  const std::unique_ptr<Client> client = server_.Connect();
  std::atomic<int> reports = 0;
  Blocks last;
  std::thread watcher([&] {
    const absl::Status status =
        client->WatchCapacity(std::chrono::seconds(10), [&](const CapacityReport& report) {
          last = report.snapshot.blocks.reserved;
          return reports.fetch_add(1) < 1;
        });
    EXPECT_TRUE(status.ok()) << status;
  });
  ASSERT_TRUE(Eventually([&] { return reports == 1; }));
  for (int i = 0; i < 20; ++i) Granted(client->Reserve(RequestOf(16, 0)));
  EXPECT_EQ(reports, 1) << "simulated time has not moved";
  server_.clock.Advance(std::chrono::seconds(11));
  watcher.join();
  EXPECT_EQ(last, Blocks(20));
}

TEST_F(WatchService, AWatcherWhoDoesNotReadHoldsUpNobody) {
  const auto stub = v1::CapacityService::NewStub(ChannelTo(server_.address()));
  grpc::ClientContext context;
  const auto idle = stub->WatchCapacity(&context, {});
  const std::unique_ptr<Client> client = server_.Connect();
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(client->Release(Granted(client->Reserve(RequestOf(16, 0))).id).ok());
  }
  context.TryCancel();
  EXPECT_EQ(idle->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(WatchService, StoppingTheServerEndsTheStream) {
  const std::unique_ptr<Client> client = server_.Connect();
  std::atomic<bool> seen = false;
  std::thread watcher([&] {
    const absl::Status status = client->WatchCapacity(Duration::zero(), [&](const auto&) {
      seen = true;
      return true;
    });
    EXPECT_FALSE(status.ok());
  });
  ASSERT_TRUE(Eventually([&] { return seen.load(); }));
  server_.server->Stop();
  watcher.join();
}

}  // namespace
}  // namespace plimsoll
