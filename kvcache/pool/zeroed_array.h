// A fixed array of zeros. Memory of a large one comes from the system page by page as it is
// touched, so that what is never used costs nothing. It asks for huge pages: blocks are touched in
// no order, and with small pages each touch would also look its address up.
//
// Threads: as a plain array. Cost: O(1); never grows; begins at a cache line. Errors: without
// memory it is empty, which the maker asks with `operator bool`.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <type_traits>

namespace plimsoll {

struct ZeroedFree {
  size_t mapped = 0;  // bytes that the system gave; 0: they are malloc's
  void operator()(void* memory) const;
};
using ZeroedMemory = std::unique_ptr<void, ZeroedFree>;

// `bytes` of zeros from a cache line on; null without memory.
ZeroedMemory AllocateZeroed(size_t bytes);

template <class T>
class ZeroedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  ZeroedArray() = default;
  explicit ZeroedArray(size_t size) {
    if (size > std::numeric_limits<size_t>::max() / sizeof(T)) return;
    memory_ = AllocateZeroed(size * sizeof(T));
  }

  explicit operator bool() const { return memory_ != nullptr; }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
  T* data() { return static_cast<T*>(memory_.get()); }
  const T* data() const { return static_cast<const T*>(memory_.get()); }

 private:
  ZeroedMemory memory_;
};

}  // namespace plimsoll
