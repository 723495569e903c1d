// WatchCapacity: the whole state first, then changes.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "plimsoll/v1/capacity.grpc.pb.h"
#include "rpc/operator_client.h"
#include "rpc/watch_queue.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

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

// A watch with an interval of ten seconds and a beat of a hundred, of a pool that changes when it
// is told to.
class PacedWatch : public WatchService {
 protected:
  PacedWatch()
      : client_(server_.Connect()),
        operator_(std::move(OperatorClient::Create({.server = server_.address()})).value()),
        watcher_([this] { Watch(); }) {}
  ~PacedWatch() override {
    operator_->Cancel();
    watcher_.join();
  }

  void Change() { Granted(client_->Reserve(RequestOf(16, 0))); }
  bool Hears(int reports) {
    return Eventually([&] { return reports_ >= reports; }) && reports_ == reports;
  }
  void Advance(Duration time) { server_.clock.Advance(time); }
  // Of a change now it hears when so much time has passed, and not a millisecond before.
  void ExpectNextAfter(Duration time, int reports) {
    Change();
    Advance(time - milliseconds(1));
    std::this_thread::sleep_for(WatchQueue::kLongestRest + 3 * WatchQueue::kTick);
    EXPECT_EQ(reports_, reports - 1);
    Advance(milliseconds(1));
    EXPECT_TRUE(Hears(reports));
  }

 private:
  void Watch() {
    const absl::Status status = operator_->Watch(
        {.min_interval = seconds(10), .heartbeat = seconds(100)}, [&](const CapacityReport*) {
          ++reports_;
          return true;
        });
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
  }

  std::atomic<int> reports_ = 0;
  const std::unique_ptr<Client> client_;
  const std::unique_ptr<OperatorClient> operator_;
  std::thread watcher_;
};

TEST_F(PacedWatch, WhatComesLateDoesNotPutOffWhatFollows) {
  ASSERT_TRUE(Hears(1));
  Change();
  Advance(seconds(10) + milliseconds(30));
  ASSERT_TRUE(Hears(2)) << "30 ms late";
  ExpectNextAfter(seconds(10) - milliseconds(30), 3);
}

TEST_F(PacedWatch, WhatComesVeryLateIsFollowedInNearlyTheInterval) {
  ASSERT_TRUE(Hears(1));
  Change();
  Advance(seconds(15));
  ASSERT_TRUE(Hears(2));
  ExpectNextAfter(seconds(10) - milliseconds(40), 3);
}

TEST_F(PacedWatch, NothingIsLateWhileThereIsNothingToSay) {
  ASSERT_TRUE(Hears(1));
  Advance(seconds(100));
  ASSERT_TRUE(Hears(2)) << "the beat";
  ExpectNextAfter(seconds(10), 3);
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
