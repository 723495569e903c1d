// A fixed array of zeros whose memory the system hands out page by page as it is touched, so that
// what is never used costs nothing. A large one asks for huge pages: blocks are touched in no
// order, and with small pages each touch would also look its address up.
//
// Threads: as a plain array. Cost: O(1); never grows; begins at a cache line. Errors: without
// memory it is empty, which the maker asks with `operator bool`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <type_traits>

namespace plimsoll {

// `bytes` of zeros from a cache line on, to be freed by `whole`; null without memory.
struct ZeroedMemory {
  void* whole = nullptr;
  void* aligned = nullptr;
};
ZeroedMemory AllocateZeroed(size_t bytes);

template <class T>
class ZeroedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  ZeroedArray() = default;
  explicit ZeroedArray(size_t size) {
    if (size > std::numeric_limits<size_t>::max() / sizeof(T)) return;
    const ZeroedMemory memory = AllocateZeroed(size * sizeof(T));
    memory_.reset(memory.whole);
    items_ = static_cast<T*>(memory.aligned);
  }

  explicit operator bool() const { return memory_ != nullptr; }
  T& operator[](size_t i) { return items_[i]; }
  const T& operator[](size_t i) const { return items_[i]; }
  T* data() { return items_; }
  const T* data() const { return items_; }

 private:
  struct Freed {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Freed> memory_;
  T* items_ = nullptr;
};

}  // namespace plimsoll
