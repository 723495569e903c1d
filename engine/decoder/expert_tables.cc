#include "engine/decoder/expert_tables.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/decoder/step_buffers.h"
#include "engine/device/cuda_ops.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kNarrowGroup = 32;
constexpr Bytes kExpertBytes = Bytes(sizeof(PlimsollCudaExpert));

absl::Status CheckAlike(const WeightView& matrix, const ExpertTable& table, int64_t layer) {
  const bool narrow = matrix.scales != nullptr && matrix.group == kNarrowGroup;
  if (matrix.type == table.type && narrow == table.groups_of_32) return absl::OkStatus();
  return absl::UnimplementedError("cuda: experts of layer " + std::to_string(layer) +
                                  " are stored in different ways; want one type and group");
}

// What they have in common.
absl::StatusOr<ExpertTable> TableOf(const LayerWeights& weights, int64_t layer) {
  ExpertTable table;
  const WeightView& first = weights.experts.front().gate;
  table.type = first.type;
  table.groups_of_32 = first.scales != nullptr && first.group == kNarrowGroup;
  for (const ExpertWeights& expert : weights.experts) {
    for (const WeightView* matrix : {&expert.gate, &expert.up, &expert.down}) {
      PLIMSOLL_RETURN_IF_ERROR(CheckAlike(*matrix, table, layer));
    }
    table.width = std::max(table.width, expert.gate.rows);
  }
  return table;
}

}  // namespace

Bytes ExpertTables::BytesFor(const ModelConfig& model, const DeviceBackend& device) {
  if (device.ops().device == Device::kCpu || !model.mixture) return Bytes(0);
  return model.layers * ExpertsOf(*model.mixture) * kExpertBytes;  // as if every layer had them
}

absl::StatusOr<ExpertTables> ExpertTables::Create(const ModelConfig& model,
                                                  std::span<const LayerWeights> layers,
                                                  const DeviceBackend& device) {
  ExpertTables made;
  std::vector<PlimsollCudaExpert> experts;
  if (BytesFor(model, device) == Bytes(0)) return made;
  for (const LayerWeights& layer : layers) {
    for (const ExpertWeights& each : layer.experts) {
      experts.push_back({CudaWeight(each.gate), CudaWeight(each.up), CudaWeight(each.down)});
    }
  }
  absl::StatusOr<DeviceSlab> slab = device.Allocate(BytesFor(model, device));
  if (!slab.ok()) return Annotate(slab.status(), "tables of experts");
  PLIMSOLL_RETURN_IF_ERROR(device.CopyToDevice(slab->data(),
                                               reinterpret_cast<const std::byte*>(experts.data()),
                                               std::ssize(experts) * kExpertBytes));
  const auto* next = reinterpret_cast<const PlimsollCudaExpert*>(slab->data());
  for (const LayerWeights& layer : layers) {
    ExpertTable& table = made.tables_.emplace_back();
    if (layer.experts.empty()) continue;
    const absl::StatusOr<ExpertTable> common = TableOf(layer, std::ssize(made.tables_) - 1);
    if (!common.ok()) return common.status();
    table = *common;
    table.experts = std::exchange(next, next + std::ssize(layer.experts));
  }
  made.slab_ = *std::move(slab);
  return made;
}

}  // namespace plimsoll
