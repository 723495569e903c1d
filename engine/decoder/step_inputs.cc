#include "engine/decoder/step_inputs.h"

#include <cstring>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kAlignment = 64;

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
  offsets.draws = layout.Place<Draw>(shape.logit_rows);
  offsets.items = layout.Place<PlimsollCudaAttentionItem>(shape.items);
  offsets.splits = layout.Place<PlimsollCudaAttentionSplit>(shape.splits);
  offsets.tables = layout.Place<int32_t>(0);
  return offsets;
}

Bytes StepInputs::BytesFor(const Limits& limits) {
  const int64_t tables = limits.sequences * limits.table_blocks;
  return Bytes(OffsetsOf(limits.shape).tables + tables * static_cast<int64_t>(sizeof(int32_t)));
}

absl::StatusOr<StepInputs> StepInputs::Create(const DeviceBackend& backend, const Limits& limits) {
  const Bytes bytes = BytesFor(limits);
  absl::StatusOr<DeviceSlab> slab = backend.Allocate(bytes);
  if (!slab.ok()) return Annotate(slab.status(), "step inputs");
  StepInputs inputs;
  inputs.backend_ = &backend;
  absl::StatusOr<PinnedBuffer> host = PinnedBuffer::Create(backend, bytes);
  if (!host.ok()) return Annotate(host.status(), "step inputs");
  inputs.host_ = *std::move(host);
  inputs.device_ = *std::move(slab);
  return inputs;
}

void StepInputs::Begin(const Shape& shape) {
  offsets_ = OffsetsOf(shape);
  PLIMSOLL_CHECK(Bytes(offsets_.tables) <= host_.bytes(), offsets_.tables, host_.bytes());
  tables_used_ = 0;
}

const int32_t* StepInputs::AddTable(std::span<const BlockId> table, int64_t blocks) {
  static_assert(sizeof(BlockId) == sizeof(int32_t) && std::is_standard_layout_v<BlockId>);
  const int64_t room =
      (host_.bytes().value() - offsets_.tables) / static_cast<int64_t>(sizeof(int32_t));
  PLIMSOLL_CHECK(blocks <= std::ssize(table) && tables_used_ + blocks <= room, blocks, tables_used_,
                 room);
  int32_t* const to =
      At<int32_t>(offsets_.tables) + std::exchange(tables_used_, tables_used_ + blocks);
  std::memcpy(to, table.data(), static_cast<size_t>(blocks) * sizeof(int32_t));
  return OnDevice(to);
}

absl::Status StepInputs::Upload() {
  const int64_t used = offsets_.tables + tables_used_ * static_cast<int64_t>(sizeof(int32_t));
  return backend_->QueueToDevice(device_.data(), host_.data(), Bytes(used));
}

}  // namespace plimsoll
