// How long something took, counted in buckets that double: up to 250 ns, 500 ns, 1 us, ... about
// two minutes, and longer.
//
// Invariant: a bucket counts what took more than its bound's half and no more than its bound.
// Threads: any; readers may see a duration in one count and not yet in another. Cost: two relaxed
// additions, no lock. Errors: none; a negative duration counts as zero.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "kvcache/base/clock.h"

namespace plimsoll {

class DurationHistogram {
 public:
  static constexpr size_t kBounded = 30;
  // Of bucket `i` in [0, kBounded); the one after those has none.
  static constexpr Duration Bound(size_t i) { return kFirst * (int64_t{1} << i); }

  struct Counts {
    std::array<int64_t, kBounded + 1> in_bucket{};
    Duration sum = Duration::zero();

    int64_t total() const {
      int64_t n = 0;
      for (const int64_t count : in_bucket) n += count;
      return n;
    }
    // An upper bound of the `share` shortest, at most twice what it is; zero where nothing is
    // counted, and the last bound where it is longer than all.
    Duration Quantile(double share) const {
      const double wanted = share * static_cast<double>(total());
      int64_t seen = 0;
      for (size_t i = 0; i < kBounded; ++i) {
        seen += in_bucket[i];
        if (seen > 0 && static_cast<double>(seen) >= wanted) return Bound(i);
      }
      return seen == total() ? Duration::zero() : Bound(kBounded - 1);
    }
  };

  void Add(Duration took) {
    const int64_t ns = std::max<int64_t>(took.count(), 0);
    in_bucket_[BucketOf(ns)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(ns, std::memory_order_relaxed);
  }

  Counts Read() const {
    Counts counts;
    for (size_t i = 0; i < in_bucket_.size(); ++i) {
      counts.in_bucket[i] = in_bucket_[i].load(std::memory_order_relaxed);
    }
    counts.sum = Duration(sum_.load(std::memory_order_relaxed));
    return counts;
  }

 private:
  static constexpr Duration kFirst = Duration(250);

  static size_t BucketOf(int64_t ns) {
    if (ns == 0) return 0;
    const auto above = static_cast<uint64_t>((ns - 1) / kFirst.count());
    return std::min<size_t>(static_cast<size_t>(std::bit_width(above)), kBounded);
  }

  std::array<std::atomic<int64_t>, kBounded + 1> in_bucket_{};
  std::atomic<int64_t> sum_{0};
};

}  // namespace plimsoll
