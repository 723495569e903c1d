#include "tools/bench/read_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <vector>

#include "engine/ops/cpu_threads.h"
#include "kvcache/base/check.h"

namespace plimsoll {

double MeasureReadBandwidth() {
  constexpr int kRounds = 7;
  const std::vector<uint64_t> words(size_t{32} << 20, 1);
  std::atomic<uint64_t> total = 0;
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    CpuThreads().ParallelFor(std::ssize(words), 1 << 16, [&](int64_t begin, int64_t end) {
      total += std::accumulate(words.begin() + begin, words.begin() + end, uint64_t{0});
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(words.size() * sizeof(uint64_t)) / took.count());
  }
  PLIMSOLL_CHECK(total == words.size() * kRounds, total.load());  // and none of it was left out
  return best;
}

}  // namespace plimsoll
