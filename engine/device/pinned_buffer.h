// Pinned memory of the host, zeroed, of whole pages: two pieces that shared one could not both be
// pinned.
//
// Threads: none. Cost: a call of the driver and page faults, at creation. Errors: those of the
// device; ResourceExhausted where the host has no memory.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "kvcache/base/units.h"

namespace plimsoll {

class PinnedBuffer {
 public:
  PinnedBuffer() = default;  // empty
  // `backend` outlives the buffer.
  static absl::StatusOr<PinnedBuffer> Create(const DeviceBackend& backend, Bytes bytes);

  std::byte* data() const { return memory_.get(); }
  Bytes bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  PinnedMemory pinned_;  // ends first
  Bytes bytes_;
};

}  // namespace plimsoll
