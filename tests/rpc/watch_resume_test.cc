// WatchCapacity for those who come back, and for those who must hear that the server lives.
#include <gtest/gtest.h>

#include <mutex>

#include "plimsoll/v1/capacity.grpc.pb.h"
#include "rpc/operator_client.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

class WatchResume : public testing::Test {
 protected:
  WatchResume() {
    server_.Start();
    client_ = server_.Connect();
    operator_ = std::move(OperatorClient::Create({.server = server_.address()})).value();
    Granted(client_->Reserve(RequestOf(160, 0)));
  }

  // What the first message carries, if anything.
  std::optional<CapacityReport> First(const WatchWanted& wanted) {
    std::optional<CapacityReport> first;
    const absl::Status status = operator_->Watch(wanted, [&](const CapacityReport* report) {
      if (report != nullptr) first = *report;
      return false;
    });
    EXPECT_TRUE(status.ok()) << status;
    return first;
  }

  TestServer server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<OperatorClient> operator_;
};

TEST_F(WatchResume, SendsTheStateOnlyToWhoDoesNotKnowIt) {
  const int64_t revision = server_.Now().revision;
  EXPECT_EQ(First({})->snapshot.blocks.reserved, Blocks(10));
  EXPECT_FALSE(First({.epoch = "e1", .revision = revision})) << "it knows this one";
  EXPECT_TRUE(First({.epoch = "e0", .revision = revision})) << "of another life";
  EXPECT_TRUE(First({.epoch = "e1", .revision = revision - 1}));
  EXPECT_TRUE(First({.epoch = "e1", .revision = revision + 1})) << "never was";
  Granted(client_->Reserve(RequestOf(16, 0)));
  EXPECT_EQ(First({.epoch = "e1", .revision = revision})->snapshot.blocks.reserved, Blocks(11));
}

TEST_F(WatchResume, WhoKnewTheStateHearsTheNextChange) {
  std::vector<bool> whole;
  const absl::Status status = operator_->Watch(
      {.epoch = "e1", .revision = server_.Now().revision}, [&](const CapacityReport* report) {
        whole.push_back(report != nullptr);
        std::thread([&] { Granted(client_->Reserve(RequestOf(16, 0))); }).join();
        return whole.size() < 3;
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(whole, (std::vector<bool>{false, true, true}));
}

TEST_F(WatchResume, HeartbeatsComeOnlyWhereNothingElseDoes) {
  std::atomic<int> states = 0;
  std::atomic<int> beats = 0;
  std::thread watcher([&] {
    const absl::Status status =
        operator_->Watch({.heartbeat = std::chrono::seconds(2)}, [&](const CapacityReport* report) {
          ++(report == nullptr ? beats : states);
          return beats < 2;
        });
    EXPECT_TRUE(status.ok()) << status;
  });
  ASSERT_TRUE(Eventually([&] { return states == 1; }));
  server_.clock.Advance(std::chrono::milliseconds(1900));
  Granted(client_->Reserve(RequestOf(16, 0)));
  EXPECT_TRUE(Eventually([&] { return states >= 2; }));
  EXPECT_EQ(beats, 0);
  server_.clock.Advance(std::chrono::seconds(2));
  EXPECT_TRUE(Eventually([&] { return beats == 1; }));
  server_.clock.Advance(std::chrono::seconds(2));
  watcher.join();
  EXPECT_EQ(beats, 2);
}

// Many watchers see every state that was there when they looked, and the same one.
TEST_F(WatchResume, ManyWatchersEndWithTheSameState) {
  constexpr int kWatchers = 150;
  std::mutex mutex;
  std::map<int, int64_t> newest;
  std::vector<std::thread> threads;
  std::atomic<bool> over = false;
  for (int i = 0; i < kWatchers; ++i) {
    threads.emplace_back([&, i] {
      const absl::Status status = operator_->Watch({.heartbeat = std::chrono::nanoseconds(1)},
                                                   [&](const CapacityReport* report) {
                                                     if (report == nullptr) return !over;
                                                     const std::lock_guard lock(mutex);
                                                     newest[i] = report->snapshot.revision;
                                                     return true;
                                                   });
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (int i = 0; i < 50; ++i) Granted(client_->Reserve(RequestOf(16, 0)));
  const int64_t last = server_.Now().revision;
  const bool agreed = Eventually([&] {
    const std::lock_guard lock(mutex);
    return newest.size() == kWatchers &&
           std::all_of(newest.begin(), newest.end(),
                       [&](const auto& e) { return e.second == last; });
  });
  over = true;
  server_.clock.Advance(std::chrono::seconds(1));
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(agreed);
}

TEST_F(WatchResume, CancelEndsTheWatchAndLaterCalls) {
  std::atomic<bool> seen = false;
  std::thread watcher([&] {
    const absl::Status status = operator_->Watch({}, [&](const CapacityReport*) {
      seen = true;
      return true;
    });
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
  });
  ASSERT_TRUE(Eventually([&] { return seen.load(); }));
  operator_->Cancel();
  watcher.join();
  EXPECT_TRUE(absl::IsCancelled(operator_->Resume()));
}

TEST_F(WatchResume, RefusesWhatIsOutOfRange) {
  const auto watch = [&](const WatchWanted& wanted) {
    return operator_->Watch(wanted, [](const CapacityReport*) { return true; });
  };
  for (const WatchWanted& wrong :
       {WatchWanted{.min_interval = std::chrono::hours(2)},
        WatchWanted{.heartbeat = std::chrono::hours(2)},
        WatchWanted{.epoch = std::string(129, 'e')}, WatchWanted{.revision = -1}}) {
    const absl::Status status = watch(wrong);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
}

// Watching takes its messages as bytes, so one that does not parse is told so.
TEST_F(WatchResume, AMessageThatDoesNotParseIsInvalid) {
  const RawAnswer answer = RawCall(ChannelTo(server_.address()),
                                   "/plimsoll.v1.CapacityService/WatchCapacity", "\xff\xff");
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
      << answer.status.error_message();
}

}  // namespace
}  // namespace plimsoll
