// One field of every block, of zeros at first. Fields of several owners may lie together, a row for
// each block, so that touching one of them brings the others of that block too: what a large pool
// costs is waiting for memory.
//
// Threads: as a plain array. Cost: O(1); never grows. Errors: without memory it is empty, which the
// maker asks with `operator bool`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "kvcache/base/units.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

inline constexpr int64_t kMostBlockIds = std::numeric_limits<int32_t>::max();

// How many fields so many blocks have: zero where there cannot be so many.
inline size_t FieldsFor(Blocks blocks) {
  const bool possible = blocks >= Blocks(1) && blocks <= Blocks(kMostBlockIds);
  return possible ? static_cast<size_t>(blocks.value()) : 0;
}

template <class T>
class BlockColumn {
 public:
  // Alone, without a row.
  explicit BlockColumn(size_t size) {
    auto fields = std::make_shared<ZeroedArray<T>>(size);
    if (*fields) Use(fields, fields->data(), sizeof(T));
  }
  // Of rows, which live as long as any of their columns.
  template <class Row>
  BlockColumn(const std::shared_ptr<ZeroedArray<Row>>& rows, T Row::*field) {
    if (*rows) Use(rows, &((*rows)[0].*field), sizeof(Row));
  }
  BlockColumn(BlockColumn&&) noexcept = default;
  BlockColumn& operator=(BlockColumn&&) noexcept = default;

  explicit operator bool() const { return memory_ != nullptr; }
  T& operator[](size_t i) { return *At(i); }
  const T& operator[](size_t i) const { return *At(i); }

 private:
  void Use(std::shared_ptr<void> memory, T* first, size_t stride) {
    memory_ = std::move(memory);
    first_ = reinterpret_cast<std::byte*>(first);
    stride_ = stride;
  }
  T* At(size_t i) const { return reinterpret_cast<T*>(first_ + i * stride_); }

  std::shared_ptr<void> memory_;
  std::byte* first_ = nullptr;
  size_t stride_ = 0;  // bytes from one block's to the next one's
};

}  // namespace plimsoll
