// The weights of a model, in memory, by name.
//
// Load copies every tensor that the configuration lists into one slab, each at a multiple of 64
// bytes, and ignores what the checkpoint has beyond that.
//
// Invariants: every tensor of the configuration is there with exactly its shape.
//
// Threads: immutable once loaded. Cost: Load reads each byte once; Find is O(log tensors).
// Errors: those of the files; InvalidArgument naming the tensor that is missing, or whose shape or
// type is wrong; ResourceExhausted when there is no memory.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/ops/ops.h"
#include "engine/weights/slab.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

class Checkpoint;

class Weights {
 public:
  // `folder` holds model.safetensors, or its shards and their index.
  static absl::StatusOr<std::unique_ptr<Weights>> Load(const std::string& folder,
                                                       const ModelConfig& model);

  // The tensor as a matrix: [rows, cols], a vector as [1, n], more dimensions folded into the
  // rows. Without data when there is no such tensor.
  WeightView Find(const std::string& name) const;

  Bytes tensor_bytes() const { return tensor_bytes_; }    // of the tensors alone
  Bytes resident_bytes() const { return slab_.bytes(); }  // of the slab, padding included

 private:
  Weights() = default;
  absl::Status Place(const Checkpoint& checkpoint, const ModelConfig& model);
  absl::Status Fill(const Checkpoint& checkpoint);

  Slab slab_;
  Bytes tensor_bytes_;
  Bytes placed_bytes_;
  std::map<std::string, Bytes> offsets_;  // in the slab
  std::map<std::string, WeightView> views_;
};

}  // namespace plimsoll
