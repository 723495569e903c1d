// Many who watch at once: whose turn it is, the rounds in which they are called, and what a service
// sends them.
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <vector>

#include "rpc/operator_client.h"
#include "rpc/watch_rounds.h"
#include "rpc/watch_turns.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(WatchTurns, WhoIsAloneHearsAtOnceAndACrowdOneAfterTheOther) {
  constexpr int kCrowd = 1000;
  WatchTurns turns;
  std::vector<double> shares = {turns.Join()};
  EXPECT_EQ(turns.Of(shares.front(), seconds(1)), Duration::zero());
  while (shares.size() < kCrowd) shares.push_back(turns.Join());
  std::vector<Duration> at;
  for (const double share : shares) at.push_back(turns.Of(share, seconds(1)));
  std::sort(at.begin(), at.end());
  EXPECT_LT(at.back(), milliseconds(200)) << "a fifth of a millisecond each";
  for (size_t i = 1; i < at.size(); ++i) {
    EXPECT_GT(at[i] - at[i - 1], microseconds(50)) << i;
    EXPECT_LT(at[i] - at[i - 1], microseconds(400)) << i;
  }
}

TEST(WatchTurns, NobodyWaitsForLongerThanItsInterval) {
  WatchTurns turns;
  Duration last = Duration::zero();
  for (int i = 0; i < 1000; ++i) {
    const double share = turns.Join();
    last = std::max(last, turns.Of(share, milliseconds(10)));
    EXPECT_LT(turns.Of(share, milliseconds(10)), milliseconds(10));
    EXPECT_EQ(turns.Of(share, Duration::zero()), Duration::zero());
  }
  EXPECT_GT(last, milliseconds(9));
  for (int i = 0; i < 990; ++i) turns.Leave();
  EXPECT_LE(turns.Of(0.999, seconds(1)), milliseconds(2)) << "ten are left";
  for (int i = 0; i < 9; ++i) turns.Leave();
  EXPECT_EQ(turns.Of(0.999, seconds(1)), Duration::zero()) << "it is alone";
}

// Notes when it was called.
class CalledWatcher final : public WatchRounds::Watcher {
 public:
  void Tick(const AdmissionSnapshot& now) override {
    const std::lock_guard lock(mutex_);
    revision_ = now.revision;
    calls_.push_back(std::chrono::steady_clock::now());
  }
  size_t calls() const {
    const std::lock_guard lock(mutex_);
    return calls_.size();
  }
  Instant call(size_t i) const {
    const std::lock_guard lock(mutex_);
    return calls_.at(i);
  }
  int64_t revision() const {
    const std::lock_guard lock(mutex_);
    return revision_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Instant> calls_;
  int64_t revision_ = -1;
};

class WatchRoundsTest : public testing::Test {
 protected:
  WatchRoundsTest() {
    AdmissionSnapshot snapshot;
    snapshot.revision = 7;
    published_.Publish(snapshot);
  }

  std::shared_ptr<CalledWatcher> Add() {
    watchers_.push_back(std::make_shared<CalledWatcher>());
    rounds_.Watch(watchers_.back());
    return watchers_.back();
  }
  bool AllCalled(size_t times) const {
    return std::all_of(watchers_.begin(), watchers_.end(),
                       [&](const auto& each) { return each->calls() >= times; });
  }

  SnapshotPublisher published_;
  std::vector<std::shared_ptr<CalledWatcher>> watchers_;
  WatchRounds rounds_{published_};
};

TEST_F(WatchRoundsTest, CallsEachWithTheStateUntilItLeaves) {
  const auto first = Add();
  ASSERT_TRUE(Eventually([&] { return first->calls() >= 3; }));
  EXPECT_EQ(first->revision(), 7);
  const auto second = Add();
  ASSERT_TRUE(Eventually([&] { return second->calls() >= 3; }));
  rounds_.Unwatch(first.get());
  const size_t before = second->calls();
  ASSERT_TRUE(Eventually([&] { return second->calls() >= before + 2; }));
  const size_t calls = first->calls();
  ASSERT_TRUE(Eventually([&] { return second->calls() >= before + 6; }));
  EXPECT_EQ(first->calls(), calls) << "it left";
  rounds_.Unwatch(second.get());
  const auto third = Add();
  EXPECT_TRUE(Eventually([&] { return third->calls() >= 1; })) << "nobody else watches";
}

// A call may come late on a busy machine, but never early.
TEST_F(WatchRoundsTest, SpreadsTheCallsOfACrowdOverTheRound) {
  constexpr size_t kGroups = 40, kCrowd = 400;
  for (size_t i = 0; i < kCrowd; ++i) Add();
  ASSERT_TRUE(Eventually([&] { return AllCalled(20); }));
  std::vector<Instant> calls;
  for (const auto& each : watchers_) {
    rounds_.Unwatch(each.get());
    for (size_t i = 0; i < 20; ++i) calls.push_back(each->call(i));
  }
  std::sort(calls.begin(), calls.end());
  for (size_t i = kCrowd / kGroups; i < calls.size(); ++i) {
    ASSERT_GE(calls[i] - calls[i - kCrowd / kGroups], WatchRounds::kRound / kGroups) << i;
  }
}

class WatchCrowdTest : public testing::Test {
 protected:
  static constexpr int kCrowd = 20;

  WatchCrowdTest() {
    server_.Start();
    client_ = server_.Connect();
    operator_ = std::move(OperatorClient::Create({.server = server_.address()})).value();
    for (int i = 0; i < kCrowd; ++i) threads_.emplace_back([this] { Watch(); });
  }
  ~WatchCrowdTest() override {
    operator_->Cancel();
    for (std::thread& thread : threads_) thread.join();
  }
  void Watch() {
    const absl::Status status =
        operator_->Watch({.min_interval = seconds(10)}, [&](const CapacityReport* report) {
          const std::lock_guard lock(mutex_);
          if (report != nullptr) heard_.push_back(report->snapshot.blocks.reserved);
          return true;
        });
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
  }
  size_t heard() {
    const std::lock_guard lock(mutex_);
    return heard_.size();
  }

  TestServer server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<OperatorClient> operator_;
  std::mutex mutex_;
  std::vector<Blocks> heard_;
  std::vector<std::thread> threads_;
};

// All of them might be told at once: their interval is over.
TEST_F(WatchCrowdTest, HearsOfAChangeOneAfterTheOther) {
  ASSERT_TRUE(Eventually([&] { return heard() == kCrowd; }));
  server_.clock.Advance(seconds(10));
  Granted(client_->Reserve(RequestOf(16, 0)));
  ASSERT_TRUE(Eventually([&] { return heard() > kCrowd; }));
  std::this_thread::sleep_for(5 * WatchRounds::kRound);
  EXPECT_EQ(heard(), kCrowd + 1) << "time stands still, so it is the turn of one";
  EXPECT_TRUE(Eventually([&] {
    server_.clock.Advance(microseconds(100));
    return heard() == 2 * kCrowd;
  }));
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(std::count(heard_.begin(), heard_.end(), Blocks(1)), kCrowd);
}

}  // namespace
}  // namespace plimsoll
