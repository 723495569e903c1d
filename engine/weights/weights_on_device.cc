#include <utility>
#include <vector>

#include "engine/ops/weight_element.h"
#include "engine/weights/fragment_layout.h"
#include "engine/weights/weights.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kTileRows = 16;  // what can be laid out at a time

absl::Status CopyFragments(const DeviceBackend& device, const WeightView& from, std::byte* data,
                           std::byte* scales) {
  const Bytes tile_bytes(kTileRows * RowBytesOf(from));
  const Bytes tile_scales(ScaleBytesOf(from) / from.rows * kTileRows);
  std::vector<std::byte> laid_out(static_cast<size_t>((tile_bytes + tile_scales).value()));
  std::byte* const laid_out_scales = laid_out.data() + tile_bytes.value();
  WeightView tile = from;
  tile.rows = kTileRows;
  for (int64_t i = 0; i < from.rows / kTileRows; ++i) {
    tile.data = from.data + i * tile_bytes.value();
    tile.scales = from.scales + i * tile_scales.value();
    ToFragments(tile, laid_out.data(), laid_out_scales);
    PLIMSOLL_RETURN_IF_ERROR(
        device.CopyToDevice(data + i * tile_bytes.value(), laid_out.data(), tile_bytes));
    PLIMSOLL_RETURN_IF_ERROR(
        device.CopyToDevice(scales + i * tile_scales.value(), laid_out_scales, tile_scales));
  }
  return absl::OkStatus();
}

absl::Status CopyTensor(const DeviceBackend& device, const WeightView& from, std::byte* data,
                        std::byte* scales) {
  if (from.scales == nullptr) {
    return device.CopyToDevice(data, from.data, BytesOf(from.type, from.rows * from.cols));
  }
  if (HasFragments(from)) return CopyFragments(device, from, data, scales);
  return absl::UnimplementedError("[" + std::to_string(from.rows) + ", " +
                                  std::to_string(from.cols) +
                                  "] on a GPU; want rows in tiles of 16 and columns of 64");
}

}  // namespace

absl::Status Weights::MoveTo(const DeviceBackend& device) {
  if (device.ops().device == Device::kCpu) return absl::OkStatus();
  absl::StatusOr<DeviceSlab> slab = device.Allocate(slab_.bytes());
  if (!slab.ok()) return Annotate(slab.status(), "weights");
  const auto moved = [&](const std::byte* from) { return slab->data() + (from - slab_.data()); };
  std::map<std::string, WeightView> views = views_;
  for (auto& [name, view] : views) {
    std::byte* const data = moved(view.data);
    std::byte* const scales = view.scales == nullptr ? nullptr : moved(view.scales);
    PLIMSOLL_RETURN_IF_ERROR(Annotate(CopyTensor(device, view, data, scales), "tensor " + name));
    view.data = data;
    view.scales = scales;
  }
  views_ = std::move(views);
  slab_ = *std::move(slab);
  return absl::OkStatus();
}

}  // namespace plimsoll
