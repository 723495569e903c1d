// What a fuzzer's bytes say, read as choices: the first byte of each decides, so that changing one
// byte changes one choice.
//
// Threads: none. Cost: a byte or eight. Errors: none; where nothing is left, every choice is the
// first one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace plimsoll {

class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : left_(data, size) {}

  bool over() const { return left_.empty(); }
  // In [0, end), with `end` at most 256.
  int64_t Below(int64_t end) {
    if (left_.empty()) return 0;
    const int64_t byte = left_.front();
    left_ = left_.subspan(1);
    return byte % end;
  }
  bool OneIn(int64_t n) { return Below(n) == n - 1; }
  template <class T, size_t n>
  const T& Of(const std::array<T, n>& all) {
    return all[static_cast<size_t>(Below(static_cast<int64_t>(n)))];
  }
  // In [1, most] as a rule; else a number where arithmetic breaks.
  int64_t Number(int64_t most) {
    constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    static constexpr std::array<int64_t, 10> kEdges = {
        0, -1, most_tokens, most_tokens + 1, int64_t{1} << 31, kMax, kMax - 1, -kMax - 1, 1, 16};
    return OneIn(16) ? Of(kEdges) : 1 + Below(256) * most / 256;
  }
  // Some of the bytes that are left, as they are.
  std::string_view Bytes() {
    const auto size = static_cast<size_t>(Below(256));
    const auto taken = left_.first(size < left_.size() ? size : left_.size());
    left_ = left_.subspan(taken.size());
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

 private:
  static constexpr int64_t most_tokens = int64_t{1} << 40;
  std::span<const uint8_t> left_;
};

}  // namespace plimsoll
