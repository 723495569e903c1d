// Memory of a device for one measurement: given, taken back and filled with one pattern again and
// again, so that gigabytes take no time to make.
//
// Threads: one. Cost: that of the copies. Errors: those of the device.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "kvcache/base/errors.h"

namespace plimsoll {

class BenchMemory {
 public:
  explicit BenchMemory(const DeviceBackend& device) : device_(device) {}

  absl::StatusOr<std::byte*> Take(int64_t bytes) {
    absl::StatusOr<DeviceSlab> slab = device_.Allocate(Bytes(bytes));
    if (!slab.ok()) return slab.status();
    slabs_.push_back(*std::move(slab));
    return slabs_.back().data();
  }
  // `count` copies of the pattern, one behind the other.
  absl::StatusOr<std::byte*> Repeat(std::span<const std::byte> pattern, int64_t count) {
    const int64_t piece = std::ssize(pattern);
    const absl::StatusOr<std::byte*> data = Take(piece * count);
    if (!data.ok()) return data.status();
    PLIMSOLL_RETURN_IF_ERROR(device_.CopyToDevice(*data, pattern.data(), Bytes(piece)));
    for (int64_t there = 1; there < count; there *= 2) {
      const int64_t more = std::min(there, count - there);
      PLIMSOLL_RETURN_IF_ERROR(
          device_.CopyOnDevice(*data + there * piece, *data, Bytes(more * piece)));
    }
    return *data;
  }
  template <class T>
  absl::StatusOr<T*> Put(const std::vector<T>& values) {
    const absl::StatusOr<std::byte*> data = Repeat(std::as_bytes(std::span(values)), 1);
    if (!data.ok()) return data.status();
    return reinterpret_cast<T*>(*data);
  }
  template <class T>
  absl::StatusOr<std::vector<T>> Get(const T* data, int64_t count) const {
    std::vector<T> values(static_cast<size_t>(count));
    PLIMSOLL_RETURN_IF_ERROR(device_.CopyToHost(reinterpret_cast<std::byte*>(values.data()),
                                                reinterpret_cast<const std::byte*>(data),
                                                Bytes(count * static_cast<int64_t>(sizeof(T)))));
    return values;
  }

 private:
  const DeviceBackend& device_;
  std::vector<DeviceSlab> slabs_;
};

}  // namespace plimsoll
