#include "engine/ops/cpu_threads.h"

#include <algorithm>
#include <memory>
#include <thread>

namespace plimsoll {
namespace {

std::unique_ptr<ThreadPool>& Pool() {
  static std::unique_ptr<ThreadPool> pool = std::make_unique<ThreadPool>(
      std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
  return pool;
}

}  // namespace

ThreadPool& CpuThreads() { return *Pool(); }

void SetCpuThreads(int threads) { Pool() = std::make_unique<ThreadPool>(threads); }

}  // namespace plimsoll
