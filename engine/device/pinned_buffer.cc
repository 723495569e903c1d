#include "engine/device/pinned_buffer.h"

#include <unistd.h>

#include <cstring>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<PinnedBuffer> PinnedBuffer::Create(const DeviceBackend& backend, Bytes bytes) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  const auto rounded = static_cast<size_t>(CeilDivide(bytes.value(), page) * page);
  PinnedBuffer buffer;
  buffer.memory_.reset(
      static_cast<std::byte*>(std::aligned_alloc(static_cast<size_t>(page), rounded)));
  if (buffer.memory_ == nullptr)
    return absl::ResourceExhaustedError("no memory for a pinned buffer");
  std::memset(buffer.memory_.get(), 0, rounded);
  absl::StatusOr<PinnedMemory> pinned =
      backend.Pin(buffer.memory_.get(), Bytes(static_cast<int64_t>(rounded)));
  if (!pinned.ok()) return pinned.status();
  buffer.pinned_ = *std::move(pinned);
  buffer.bytes_ = bytes;
  return buffer;
}

}  // namespace plimsoll
