// What one pass is told: token ids, where each row's K and V go, block tables, which rows' logits
// are wanted and how a token is drawn from each, how attention is cut up. Laid out in pinned host
// memory and copied to the device in one piece, so that operations find everything on their own
// device and nothing waits twice.
//
// The pieces lie one behind the other, block tables last; where each begins depends on the pass's
// shape alone, so that of two passes of one shape an operation finds its piece at one address.
//
// Threads: one caller. Cost: Upload queues one copy of what the pass needs; nothing allocates after
// Create. What was uploaded may be written again once the device has been waited for. Errors: those
// of the device.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "engine/device/pinned_buffer.h"
#include "engine/ops/ops.h"
#include "kvcache/base/ids.h"

namespace plimsoll {

class StepInputs {
 public:
  // Of a pass.
  struct Shape {
    int64_t rows;
    int64_t logit_rows;  // of them, with logits
    int64_t items = 0;   // of attention, where it is cut up
    int64_t splits = 0;
  };
  // Of any pass.
  struct Limits {
    Shape shape;
    int64_t sequences;     // at most
    int64_t table_blocks;  // of the longest sequence
  };

  static Bytes BytesFor(const Limits& limits);
  // `backend` outlives the inputs.
  static absl::StatusOr<StepInputs> Create(const DeviceBackend& backend, const Limits& limits);

  // Begins a pass of this shape, which is within the limits. What was written before means nothing
  // any more.
  void Begin(const Shape& shape);
  // A copy of the table's first `blocks`, as the device will see it. At most `sequences` tables of
  // `table_blocks` a pass.
  const int32_t* AddTable(std::span<const BlockId> table, int64_t blocks);
  // On the host, to be written: [rows], [rows], [logit_rows], [logit_rows], [items], [splits].
  int32_t* ids() { return At<int32_t>(offsets_.ids); }
  RowPlace* places() { return At<RowPlace>(offsets_.places); }
  int32_t* picked() { return At<int32_t>(offsets_.picked); }
  Draw* draws() { return At<Draw>(offsets_.draws); }
  PlimsollCudaAttentionItem* items() { return At<PlimsollCudaAttentionItem>(offsets_.items); }
  PlimsollCudaAttentionSplit* splits() { return At<PlimsollCudaAttentionSplit>(offsets_.splits); }

  // Behind it in the device's queue, the device has all that was written since Begin.
  absl::Status Upload();
  // The same piece, on the device.
  template <class T>
  const T* OnDevice(const T* host) const {
    const auto offset = reinterpret_cast<const std::byte*>(host) - host_.data();
    return reinterpret_cast<const T*>(device_.data() + offset);
  }

  Bytes bytes() const { return device_.bytes(); }  // on the device

 private:
  template <class T>
  T* At(int64_t offset) {
    return reinterpret_cast<T*>(host_.data() + offset);
  }

  // Where each piece begins.
  struct Offsets {
    int64_t ids = 0, places = 0, picked = 0, draws = 0, items = 0, splits = 0, tables = 0;
  };
  static Offsets OffsetsOf(const Shape& shape);

  const DeviceBackend* backend_ = nullptr;
  PinnedBuffer host_;
  DeviceSlab device_;
  Offsets offsets_;
  int64_t tables_used_ = 0;  // blocks
};

}  // namespace plimsoll
