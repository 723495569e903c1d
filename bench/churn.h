// Sequences that come and go in no order, the same in every run, and want a little more than there
// is, so that a small pool often runs dry.
//
// Threads: values. Cost: O(operations). Errors: none.
#pragma once

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace plimsoll {

// Take `n` blocks for somebody, or give back what somebody has.
struct Operation {
  bool acquire;
  int64_t who;
  int64_t n;
};

inline std::vector<Operation> Churn(int64_t operations) {
  std::mt19937 random(42);
  std::vector<Operation> out;
  std::vector<int64_t> alive;
  for (int64_t i = 0; i < operations; ++i) {
    if (alive.size() > 70 || (!alive.empty() && random() % 2 == 0)) {
      std::swap(alive[random() % alive.size()], alive.back());
      out.push_back({.acquire = false, .who = alive.back(), .n = 0});
      alive.pop_back();
    } else {
      out.push_back({.acquire = true, .who = i, .n = 1 + static_cast<int64_t>(random() % 31)});
      alive.push_back(i);
    }
  }
  return out;
}

}  // namespace plimsoll
