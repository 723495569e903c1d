// The tokens that a pass draws: where the device leaves them, for the next pass to read, and their
// copy in pinned host memory.
//
// Threads: one caller. Cost: a copy of four bytes a row; nothing allocates after Create. Errors:
// those of the device.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "engine/device/pinned_buffer.h"

namespace plimsoll {

class DrawnTokens {
 public:
  static Bytes BytesFor(int64_t rows);
  // `backend` outlives the tokens.
  static absl::StatusOr<DrawnTokens> Create(const DeviceBackend& backend, int64_t rows);

  int32_t* on_device() const { return reinterpret_cast<int32_t*>(device_.data()); }
  // Queues a copy of the first `rows`, which is there once the device has been waited for.
  absl::Status Fetch(int64_t rows);
  int32_t operator[](int64_t row) const {
    return reinterpret_cast<const int32_t*>(host_.data())[row];
  }

  Bytes bytes() const { return device_.bytes(); }  // on the device

 private:
  const DeviceBackend* backend_ = nullptr;
  PinnedBuffer host_;
  DeviceSlab device_;
};

}  // namespace plimsoll
