// What tests of both C interfaces share: structures that say their size, and lines.
//
// Threads: values. Errors: none.
#pragma once

#include <array>
#include <string>

#include "kvcache/c/plimsoll_base.h"

namespace plimsoll {

template <class Struct>
Struct Sized(Struct value = {}) {
  value.struct_size = sizeof(Struct);
  return value;
}

// What a call said about its failure.
class Line {
 public:
  plimsoll_text* operator&() { return &text_; }  // NOLINT: as in C
  std::string text() const { return {bytes_.data()}; }

 private:
  std::array<char, 300> bytes_ = {};
  plimsoll_text text_ = {bytes_.data(), bytes_.size(), 0};
};

}  // namespace plimsoll
