// Waiting for what another thread or process does: polled, with a bound that only a failure meets.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace plimsoll {

// Whether `holds` becomes true within a minute, which no test needs unless it fails.
inline bool Eventually(const std::function<bool()>& holds) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace plimsoll
