// Writes a model folder in Hugging Face layout, with seeded random weights: config.json and
// model.safetensors.
//
// Invariants: the folder appears whole or not at all; what ReadModelConfig and Weights::Load
// demand of a model, it has.
//
// Threads: none. Cost: a few nanoseconds per parameter, and the disk. Errors: InvalidArgument for a
// configuration or a shape that cannot be read, or a target that is not empty; Internal when
// writing fails, with the cause.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/weights/model_shape.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

struct MakeModelOptions {
  std::string like;    // a model folder or its config.json
  std::string folder;  // must not exist, or be empty
  ModelShape shape = {};
  uint64_t seed = 0;
  // Called now and then with what is written and what there is to write.
  std::function<void(Bytes written, Bytes total)> progress = nullptr;
};

struct MadeModel {
  ModelConfig config;
  Bytes weight_bytes;
};

absl::StatusOr<MadeModel> MakeModel(const MakeModelOptions& options);

}  // namespace plimsoll
