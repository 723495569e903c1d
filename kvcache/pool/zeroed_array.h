// A fixed array of zeros whose memory the system hands out page by page as it is touched, so that
// what is never used costs nothing.
//
// Threads: as a plain array. Cost: O(1); never grows. Errors: without memory it is empty, which
// the maker asks with `operator bool`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <type_traits>

namespace plimsoll {

template <class T>
class ZeroedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  ZeroedArray() = default;
  explicit ZeroedArray(size_t size) : items_(static_cast<T*>(std::calloc(size, sizeof(T)))) {}

  explicit operator bool() const { return items_ != nullptr; }
  T& operator[](size_t i) { return items_.get()[i]; }
  const T& operator[](size_t i) const { return items_.get()[i]; }
  T* data() { return items_.get(); }
  const T* data() const { return items_.get(); }

 private:
  struct Freed {
    void operator()(T* memory) const { std::free(memory); }
  };
  std::unique_ptr<T, Freed> items_;
};

}  // namespace plimsoll
