// Many who watch at once: when each is called, and what a service sends them.
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <vector>

#include "rpc/operator_client.h"
#include "rpc/watch_queue.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Sends whenever it is called, at most once in its interval, and notes when.
class BusyWatcher final : public WatchQueue::Watcher {
 public:
  explicit BusyWatcher(Duration interval) : interval_(interval) {}

  WatchQueue::Called Call(const AdmissionSnapshot& now) override {
    const std::lock_guard lock(mutex_);
    revision_ = now.revision;
    calls_.push_back(std::chrono::steady_clock::now());
    return {.sent = true, .again = interval_};
  }
  std::vector<Instant> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  int64_t revision() const {
    const std::lock_guard lock(mutex_);
    return revision_;
  }

 private:
  const Duration interval_;
  mutable std::mutex mutex_;
  std::vector<Instant> calls_;
  int64_t revision_ = -1;
};

class WatchQueueTest : public testing::Test {
 protected:
  WatchQueueTest() {
    AdmissionSnapshot snapshot;
    snapshot.revision = 7;
    published_.Publish(snapshot);
  }

  std::shared_ptr<BusyWatcher> Add(Duration interval) {
    watchers_.push_back(std::make_shared<BusyWatcher>(interval));
    queue_.Watch(watchers_.back(), interval);
    return watchers_.back();
  }
  bool AllCalled(size_t times) const {
    return std::all_of(watchers_.begin(), watchers_.end(),
                       [&](const auto& each) { return each->calls().size() >= times; });
  }
  // When anybody was called, in order, after all have left.
  std::vector<Instant> AllCalls() {
    for (const auto& each : watchers_) queue_.Unwatch(each.get());
    std::vector<Instant> calls;
    for (const auto& each : watchers_) {
      for (const Instant at : each->calls()) calls.push_back(at);
    }
    std::sort(calls.begin(), calls.end());
    return calls;
  }

  SnapshotPublisher published_;
  std::vector<std::shared_ptr<BusyWatcher>> watchers_;
  WatchQueue queue_{published_};
};

TEST_F(WatchQueueTest, CallsEachWithTheStateUntilItLeaves) {
  const auto first = Add(milliseconds(1));
  ASSERT_TRUE(Eventually([&] { return first->calls().size() >= 3; }));
  EXPECT_EQ(first->revision(), 7);
  const auto second = Add(milliseconds(1));
  ASSERT_TRUE(Eventually([&] { return second->calls().size() >= 3; }));
  queue_.Unwatch(first.get());
  const size_t before = second->calls().size();
  ASSERT_TRUE(Eventually([&] { return second->calls().size() >= before + 2; }));
  const size_t calls = first->calls().size();
  ASSERT_TRUE(Eventually([&] { return second->calls().size() >= before + 6; }));
  EXPECT_EQ(first->calls().size(), calls) << "it left";
  queue_.Unwatch(second.get());
  const auto third = Add(milliseconds(1));
  EXPECT_TRUE(Eventually([&] { return !third->calls().empty(); })) << "nobody else watches";
}

TEST_F(WatchQueueTest, CallsNobodyBeforeItAskedToBeCalled) {
  const auto watcher = Add(milliseconds(30));
  ASSERT_TRUE(Eventually([&] { return watcher->calls().size() >= 5; }));
  const std::vector<Instant> calls = AllCalls();
  for (size_t i = 1; i < calls.size(); ++i) {
    EXPECT_GE(calls[i] - calls[i - 1], milliseconds(30)) << i;
  }
}

// How many calls were followed by so many more in less than `time`.
size_t Bursts(const std::vector<Instant>& calls, size_t more, Duration time) {
  size_t bursts = 0;
  for (size_t i = more; i < calls.size(); ++i) bursts += calls[i] - calls[i - more] < time;
  return bursts;
}

// A call may come late on a busy machine, and then the next few follow it closely.
TEST_F(WatchQueueTest, KeepsApartWhatACrowdSends) {
  constexpr size_t kCrowd = 400;
  for (size_t i = 0; i < kCrowd; ++i) Add(milliseconds(100));
  ASSERT_TRUE(Eventually([&] { return AllCalled(10); }));
  const std::vector<Instant> calls = AllCalls();
  // They may send 4,000 a second, so 5,000 are let through.
  EXPECT_GT(calls.back() - calls.front(), calls.size() * microseconds(180));
  EXPECT_LT(Bursts(calls, 40, milliseconds(5)), calls.size() / 10);
}

// Many who want a message every 20 ms get closer ones than a few do.
TEST_F(WatchQueueTest, TheMoreMayBeSentTheCloserItIs) {
  constexpr size_t kFew = 100;
  for (size_t i = 0; i < kFew; ++i) Add(seconds(100));
  ASSERT_TRUE(Eventually([&] { return AllCalled(1); }));
  const std::vector<Instant> calls = AllCalls();
  ASSERT_EQ(calls.size(), kFew);
  EXPECT_GT(calls.back() - calls.front(), kFew * WatchQueue::kMostGap / 2);
  watchers_.clear();
  for (size_t i = 0; i < 10 * kFew; ++i) Add(milliseconds(20));
  ASSERT_TRUE(Eventually([&] { return AllCalled(20); }));
  const std::vector<Instant> closer = AllCalls();
  EXPECT_GT(Bursts(closer, 50, milliseconds(5)), closer.size() / 10);
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

TEST_F(WatchCrowdTest, EachHearsOfAChangeOnce) {
  ASSERT_TRUE(Eventually([&] { return heard() == kCrowd; }));
  server_.clock.Advance(seconds(10));
  Granted(client_->Reserve(RequestOf(16, 0)));
  ASSERT_TRUE(Eventually([&] { return heard() == 2 * kCrowd; }));
  std::this_thread::sleep_for(WatchQueue::kLongestRest + 3 * WatchQueue::kTick);
  EXPECT_EQ(heard(), 2 * kCrowd);
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(std::count(heard_.begin(), heard_.end(), Blocks(1)), kCrowd);
}

}  // namespace
}  // namespace plimsoll
