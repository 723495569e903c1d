#include "tools/bench/read_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <span>

#include "engine/ops/cpu_threads.h"
#include "kvcache/base/check.h"
#include "tools/bench/bench_memory.h"

namespace plimsoll {

absl::StatusOr<double> MeasureReadBandwidth(const DeviceBackend& device) {
  constexpr int kRounds = 7;
  constexpr int64_t kWords = int64_t{32} << 20;
  BenchMemory memory(device);
  const uint64_t one = 1;
  const auto data = memory.Repeat(std::as_bytes(std::span(&one, 1)), kWords);
  if (!data.ok()) return data.status();
  const auto* const words = reinterpret_cast<const uint64_t*>(*data);
  std::atomic<uint64_t> total = 0;
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    CpuThreads().ParallelFor(kWords, 1 << 16, [&](int64_t begin, int64_t end) {
      total += std::accumulate(words + begin, words + end, uint64_t{0});
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(kWords * sizeof(uint64_t)) / took.count());
  }
  PLIMSOLL_CHECK(total == kWords * kRounds, total.load());  // and none of it was left out
  return best;
}

}  // namespace plimsoll
