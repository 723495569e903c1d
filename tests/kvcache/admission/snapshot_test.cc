#include "kvcache/admission/snapshot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace plimsoll {
namespace {

// Every figure follows from one number, so that half of two snapshots shows.
AdmissionSnapshot SnapshotOf(int64_t n) {
  return {.revision = n,
          .blocks = {.total = Blocks(4 * n + 10),
                     .live = Blocks(n),
                     .cached = Blocks(n + 1),
                     .reserved = Blocks(n + 2),
                     .free = Blocks(n + 7)},
          .unfilled = Tokens(n + 15),
          .headroom = Blocks(n + 4),
          .reservations = n + 5,
          .waiting = n + 6,
          .draining = n % 2 == 1,
          .admitted = n + 8,
          .waited = n + 9,
          .refused_wait = n + 10,
          .refused_never = n + 11,
          .released = n + 12,
          .expired = n + 13,
          .preempted = n + 14};
}

TEST(SnapshotPublisher, ReadsBackEveryFigure) {
  SnapshotPublisher publisher;
  EXPECT_EQ(publisher.Read(), AdmissionSnapshot{});
  publisher.Publish(SnapshotOf(41));
  EXPECT_EQ(publisher.Read(), SnapshotOf(41));
  EXPECT_EQ(publisher.Revision(), 41);
}

TEST(SnapshotPublisher, HoldsTheLargestPoolAndTheLongestQueue) {
  AdmissionSnapshot snapshot = SnapshotOf(42);
  snapshot.blocks.total = snapshot.blocks.free = Blocks((int64_t{1} << 31) - 1);
  snapshot.waiting = (int64_t{1} << 30) - 1;
  SnapshotPublisher publisher;
  publisher.Publish(snapshot);
  EXPECT_EQ(publisher.Read(), snapshot);
}

TEST(SnapshotPublisherDeathTest, RevisionsGrow) {
  SnapshotPublisher publisher;
  publisher.Publish(SnapshotOf(7));
  EXPECT_DEATH(publisher.Publish(SnapshotOf(7)), "check failed: sequence > .*7");
}

// Reads until it has read enough, and has met enough different snapshots to have been overtaken in
// the middle of many; on a machine where threads hardly meet, for a second.
void ReadWholeOnes(const SnapshotPublisher& publisher) {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  int64_t last = 0, met = 0;
  for (int reads = 0; !testing::Test::HasFailure(); ++reads) {
    const AdmissionSnapshot seen = publisher.Read();
    EXPECT_EQ(seen, SnapshotOf(seen.revision));
    EXPECT_GE(seen.revision, last);
    met += seen.revision > last ? 1 : 0;
    last = seen.revision;
    if (reads < 60000) continue;
    if (met > 3000 || std::chrono::steady_clock::now() > patience) return;
  }
}

// The writer goes on until every reader has read enough. It writes in bursts: within one a reader
// is overtaken and must notice, between two it can finish.
TEST(SnapshotPublisher, ReadersSeeWholeSnapshotsThatOnlyGrow) {
  SnapshotPublisher publisher;
  publisher.Publish(SnapshotOf(1));
  std::atomic<int> reading = 3;
  std::vector<std::thread> readers;
  readers.reserve(3);
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&publisher, &reading] {
      ReadWholeOnes(publisher);
      --reading;
    });
  }
  for (int64_t n = 2; reading > 0; ++n) {
    publisher.Publish(SnapshotOf(n));
    for (int pause = 0; n % 8 == 0 && pause < 20; ++pause) publisher.Read();
  }
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace plimsoll
