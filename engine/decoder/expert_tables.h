// Where the experts of each layer are, for CUDA's kernels: a table in the memory of the device,
// since only the device knows which of them a pass will read.
//
// Threads: none. Cost: one copy, at creation; empty on a CPU and for a model without experts.
// Errors: those of the device; Unimplemented for experts of one layer that differ in how they are
// stored.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/decoder/layer_weights.h"
#include "engine/device/backend.h"
#include "engine/ops/ops.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

class ExpertTables {
 public:
  // What Create takes of the device for such a model.
  static Bytes BytesFor(const ModelConfig& model, const DeviceBackend& device);
  static absl::StatusOr<ExpertTables> Create(const ModelConfig& model,
                                             std::span<const LayerWeights> layers,
                                             const DeviceBackend& device);

  // Of a layer without experts: empty.
  ExpertTable Of(int64_t layer) const {
    return tables_.empty() ? ExpertTable{} : tables_[static_cast<size_t>(layer)];
  }
  Bytes bytes() const { return slab_.bytes(); }

 private:
  std::vector<ExpertTable> tables_;  // one a layer, or none
  DeviceSlab slab_;
};

}  // namespace plimsoll
