#include "engine/ops/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <vector>

#include "engine/ops/cpu_threads.h"

namespace plimsoll {
namespace {

TEST(ThreadPool, HandsOutEveryIndexOnce) {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 7, 8, 9, 1000}) {
      std::vector<int> visits(static_cast<size_t>(count));
      pool.ParallelFor(count, 8, [&](int64_t begin, int64_t end) {
        EXPECT_LT(begin, end);
        EXPECT_LE(end - begin, 8);
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
      });
      EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(count), 1)) << threads;
    }
  }
}

TEST(ThreadPool, ManyShortLoopsNeitherLoseNorRepeatWork) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum = 0;
  for (int loop = 0; loop < 5000; ++loop) {
    pool.ParallelFor(4, 1, [&](int64_t begin, int64_t) { sum += begin; });
  }
  EXPECT_EQ(sum, 5000 * (0 + 1 + 2 + 3));
}

TEST(ThreadPool, WakesThreadsThatFellAsleep) {
  ThreadPool pool(2);
  std::atomic<int> calls = 0;
  for (int loop = 0; loop < 3; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    // Ends only when both threads are in: neither range can finish alone.
    pool.ParallelFor(2, 1, [&](int64_t, int64_t) {
      const int together = 2 * (loop + 1);
      for (++calls; calls < together;) std::this_thread::yield();
    });
  }
  EXPECT_EQ(calls, 6);
}

TEST(ThreadPool, FlushesDenormalsOnlyWhileItWorks) {
#if !defined(__x86_64__) && !defined(__aarch64__)
  GTEST_SKIP() << "this processor's mode is left alone";
#endif
  ThreadPool pool(2);
  volatile float tiny = std::numeric_limits<float>::min();
  std::atomic<int> kept = 0;
  pool.ParallelFor(64, 1, [&](int64_t, int64_t) {
    volatile float half = tiny / 2;
    if (half != 0) ++kept;
  });
  EXPECT_EQ(kept, 0);
  volatile float half = tiny / 2;
  EXPECT_NE(half, 0);
}

TEST(ThreadPoolDeathTest, RefusesALoopInsideALoop) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ThreadPool pool(1);
        pool.ParallelFor(
            1, 1, [&](int64_t, int64_t) { pool.ParallelFor(1, 1, [](int64_t, int64_t) {}); });
      },
      "one loop at a time");
}

TEST(CpuThreads, CanBeSet) {
  const int before = CpuThreads().threads();
  EXPECT_GE(before, 1);
  SetCpuThreads(3);
  EXPECT_EQ(CpuThreads().threads(), 3);
  SetCpuThreads(before);
}

}  // namespace
}  // namespace plimsoll
