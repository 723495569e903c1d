// Memory that calls of the C interface write into, and which tells whether they wrote where they
// must not.
//
// Threads: none. Cost: an allocation. Errors: a byte that was touched aborts.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/c/plimsoll_base.h"
#include "tests/fuzz/choices.h"

namespace plimsoll {

// A structure with room behind it for what a newer version would have there, and a byte that
// nobody may touch.
template <class Struct>
class Sized {
 public:
  explicit Sized(Choices& choices) {
    const int64_t kind = choices.Below(64);  // as a rule what it is
    if (kind < 8) size_ = kSizes[static_cast<size_t>(kind)];
    if (kind == 8) bytes_[kAll - 1] = 1;  // something newer is set
    bytes_[kAll] = kGuard;
    value().struct_size = size_;
  }
  ~Sized() { PLIMSOLL_CHECK(bytes_[kAll] == kGuard); }
  Sized(const Sized&) = delete;
  Sized& operator=(const Sized&) = delete;

  Struct& value() { return *reinterpret_cast<Struct*>(bytes_.data()); }
  Struct* get() { return &value(); }
  bool whole() const { return size_ == sizeof(Struct); }

 private:
  static constexpr size_t kAll = sizeof(Struct) + 32;
  static constexpr std::array<size_t, 8> kSizes = {0,    8,    sizeof(Struct) / 2, kAll,
                                                   5000, kAll, sizeof(Struct) - 8, 16};
  static constexpr unsigned char kGuard = 0xA5;
  alignas(Struct) std::array<unsigned char, kAll + 1> bytes_ = {};
  size_t size_ = sizeof(Struct);
};

// Memory for a text, and what must hold of it after a call.
class Text {
 public:
  explicit Text(size_t capacity) : bytes_(capacity + 1, kGuard) {
    text_ = {.data = capacity == 0 ? nullptr : bytes_.data(), .capacity = capacity, .length = 0};
  }
  plimsoll_text* get() { return &text_; }
  size_t length() const { return text_.length; }
  std::string Written() const {
    PLIMSOLL_CHECK(bytes_.back() == kGuard);
    if (text_.capacity == 0) return "";
    const auto end = std::find(bytes_.begin(), bytes_.end() - 1, '\0');
    PLIMSOLL_CHECK(end != bytes_.end() - 1, "no zero byte");
    return {bytes_.begin(), end};
  }

 private:
  static constexpr char kGuard = 0x5A;
  std::vector<char> bytes_;
  plimsoll_text text_;
};

}  // namespace plimsoll
