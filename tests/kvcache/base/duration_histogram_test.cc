// Buckets that double, worked by hand and against sorting.
#include "kvcache/base/duration_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

namespace plimsoll {
namespace {

using Counts = DurationHistogram::Counts;

TEST(DurationHistogram, ABucketEndsAtItsBound) {
  DurationHistogram histogram;
  for (const int64_t ns : {0, 1, 250, 251, 500, 501, 1000}) histogram.Add(Duration(ns));
  const Counts counts = histogram.Read();
  EXPECT_EQ(counts.in_bucket[0], 3);
  EXPECT_EQ(counts.in_bucket[1], 2);
  EXPECT_EQ(counts.in_bucket[2], 2);
  EXPECT_EQ(counts.total(), 7);
  EXPECT_EQ(counts.sum, Duration(2503));
  EXPECT_EQ(DurationHistogram::Bound(2), std::chrono::microseconds(1));
}

TEST(DurationHistogram, WhatIsOutOfRangeIsCountedAtTheEnds) {
  DurationHistogram histogram;
  histogram.Add(Duration(-5));
  histogram.Add(Duration::max() / 2);
  const Counts counts = histogram.Read();
  EXPECT_EQ(counts.in_bucket.front(), 1);
  EXPECT_EQ(counts.in_bucket.back(), 1);
  EXPECT_EQ(counts.Quantile(1.0), DurationHistogram::Bound(DurationHistogram::kBounded - 1));
}

TEST(DurationHistogram, NothingCountedHasNoQuantiles) {
  EXPECT_EQ(Counts().Quantile(0.5), Duration::zero());
}

TEST(DurationHistogram, AQuantileIsAtMostTwiceWhatSortingSays) {
  const unsigned seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> length(12.0, 2.0);
  DurationHistogram histogram;
  std::vector<int64_t> all;
  for (int i = 0; i < 1000; ++i) {
    all.push_back(std::clamp<int64_t>(std::llround(length(random)), 251, 60'000'000'000));
    histogram.Add(Duration(all.back()));
  }
  std::sort(all.begin(), all.end());
  for (const size_t percent : {50U, 90U, 99U, 100U}) {
    const int64_t exact = all[percent * 10 - 1];
    const int64_t bound = histogram.Read().Quantile(static_cast<double>(percent) / 100).count();
    EXPECT_GE(bound, exact) << percent;
    EXPECT_LT(bound, 2 * exact) << percent;
  }
}

TEST(DurationHistogram, NothingIsLostBetweenThreads) {
  DurationHistogram histogram;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) histogram.Add(Duration(i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(histogram.Read().total(), 4000);
  EXPECT_EQ(histogram.Read().sum, Duration(4 * 999 * 1000 / 2));
}

}  // namespace
}  // namespace plimsoll
