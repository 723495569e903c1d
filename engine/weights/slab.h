// One piece of zeroed, page-aligned host memory.
//
// Threads: a value. Cost: pages are given when first touched; large slabs ask for huge pages.
// Errors: ResourceExhausted with the size.
#pragma once

#include <cstddef>
#include <utility>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"

namespace plimsoll {

class Slab {
 public:
  Slab() = default;  // empty
  static absl::StatusOr<Slab> Create(Bytes bytes);

  Slab(Slab&& other) noexcept { *this = std::move(other); }
  Slab& operator=(Slab&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Slab();

  std::byte* data() const { return data_; }
  Bytes bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  Bytes bytes_;
};

}  // namespace plimsoll
