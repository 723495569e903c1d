// The weights of a model, in memory, by name.
//
// Load copies every tensor that the configuration lists into one slab, each at a multiple of 64
// bytes, and ignores what the checkpoint has beyond that. On the way it may round the matrices to
// int8 or int4, as tensor_source.h says.
//
// Invariants: every tensor of the configuration is there with exactly its shape.
//
// Threads: immutable once loaded. Cost: Load reads each byte once and holds a few MiB beside the
// slab; Find is O(log tensors).
// Errors: those of the files; InvalidArgument naming the tensor that is missing, or whose shape or
// type is wrong; ResourceExhausted when there is no memory.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "engine/ops/ops.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

class Weights {
 public:
  // `folder` holds model.safetensors, or its shards and their index. `quantised` is int8, int4 or
  // nothing: as stored.
  static absl::StatusOr<std::unique_ptr<Weights>> Load(
      const std::string& folder, const ModelConfig& model,
      const std::optional<ElementType>& quantised = std::nullopt);

  // Moves everything to the device's memory, quantised matrices as fragment_layout.h has them, and
  // lets go of the host's. Nothing to do for a device that reads host memory. Unimplemented, naming
  // the tensor, for a matrix that cannot be laid out so.
  absl::Status MoveTo(const DeviceBackend& device);

  // The tensor as a matrix: [rows, cols], a vector as [1, n], more dimensions folded into the
  // rows. Without data when there is no such tensor.
  WeightView Find(const std::string& name) const;

  Bytes tensor_bytes() const { return tensor_bytes_; }    // of the tensors alone, with scales
  Bytes resident_bytes() const { return slab_.bytes(); }  // of the slab, padding included

 private:
  Weights() = default;

  DeviceSlab slab_;
  Bytes tensor_bytes_;
  std::map<std::string, WeightView> views_;
};

}  // namespace plimsoll
