#include "engine/decoder/step_inputs.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kAlignment = 256;

// Offsets, one after the other.
class Layout {
 public:
  template <class T>
  int64_t Place(int64_t count) {
    const int64_t at = end_;
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    end_ += CeilDivide(bytes, kAlignment) * kAlignment;
    return at;
  }
  int64_t end() const { return end_; }

 private:
  int64_t end_ = 0;
};

}  // namespace

StepInputs::Offsets StepInputs::OffsetsOf(const Shape& shape) {
  Layout layout;
  Offsets offsets;
  offsets.ids = layout.Place<int32_t>(shape.rows);
  offsets.places = layout.Place<RowPlace>(shape.rows);
  offsets.picked = layout.Place<int32_t>(shape.logit_rows);
  offsets.items = layout.Place<PlimsollCudaAttentionItem>(shape.items);
  offsets.splits = layout.Place<PlimsollCudaAttentionSplit>(shape.splits);
  offsets.tables = layout.Place<int32_t>(shape.sequences * shape.table_blocks);
  offsets.end = layout.end();
  return offsets;
}

Bytes StepInputs::BytesFor(const Shape& shape) { return Bytes(OffsetsOf(shape).end); }

absl::StatusOr<StepInputs> StepInputs::Create(const DeviceBackend& backend, const Shape& shape) {
  const Offsets offsets = OffsetsOf(shape);
  absl::StatusOr<DeviceSlab> slab = backend.Allocate(Bytes(offsets.end));
  if (!slab.ok()) return Annotate(slab.status(), "step inputs");
  StepInputs inputs;
  inputs.backend_ = &backend;
  inputs.host_.resize(static_cast<size_t>(offsets.end));
  inputs.device_ = *std::move(slab);
  inputs.offsets_ = offsets;
  return inputs;
}

const int32_t* StepInputs::AddTable(std::span<const BlockId> table, int64_t blocks) {
  static_assert(sizeof(BlockId) == sizeof(int32_t) && std::is_standard_layout_v<BlockId>);
  const int64_t room =
      (std::ssize(host_) - offsets_.tables) / static_cast<int64_t>(sizeof(int32_t));
  PLIMSOLL_CHECK(blocks <= std::ssize(table) && tables_used_ + blocks <= room, blocks, tables_used_,
                 room);
  int32_t* const to =
      At<int32_t>(offsets_.tables) + std::exchange(tables_used_, tables_used_ + blocks);
  std::memcpy(to, table.data(), static_cast<size_t>(blocks) * sizeof(int32_t));
  return OnDevice(to);
}

absl::Status StepInputs::Upload() {
  const int64_t used = offsets_.tables + tables_used_ * static_cast<int64_t>(sizeof(int32_t));
  return backend_->CopyToDevice(device_.data(), host_.data(), Bytes(used));
}

}  // namespace plimsoll
