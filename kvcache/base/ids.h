// Names of things: ids compare and hash but do not add.
//
// Threads: values. Cost: none. Errors: a negative index aborts.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <ostream>

#include "kvcache/base/check.h"

namespace plimsoll {

// Names one block of a pool: its index, in [0, capacity).
class BlockId {
 public:
  constexpr explicit BlockId(int32_t index) : index_(index) { PLIMSOLL_CHECK(index >= 0, index); }
  constexpr int32_t index() const { return index_; }
  friend constexpr auto operator<=>(BlockId, BlockId) = default;
  friend std::ostream& operator<<(std::ostream& out, BlockId id) {
    return out << "block " << id.index_;
  }

 private:
  int32_t index_;
};

// Names one sequence for the life of a cache; never used again after the sequence ends.
class SequenceId {
 public:
  constexpr explicit SequenceId(int64_t number) : number_(number) {
    PLIMSOLL_CHECK(number >= 0, number);
  }
  constexpr int64_t number() const { return number_; }
  friend constexpr auto operator<=>(SequenceId, SequenceId) = default;
  friend std::ostream& operator<<(std::ostream& out, SequenceId id) {
    return out << "sequence " << id.number_;
  }

 private:
  int64_t number_;
};

}  // namespace plimsoll

template <>
struct std::hash<plimsoll::BlockId> {
  size_t operator()(plimsoll::BlockId id) const noexcept {
    return std::hash<int32_t>{}(id.index());
  }
};
template <>
struct std::hash<plimsoll::SequenceId> {
  size_t operator()(plimsoll::SequenceId id) const noexcept {
    return std::hash<int64_t>{}(id.number());
  }
};
