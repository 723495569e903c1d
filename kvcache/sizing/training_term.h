// One line of a training plan, and the place where it is held.
//
// Threads: a value. Cost: two strings. Errors: none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kvcache/base/units.h"

namespace plimsoll {

// What a term adds to. The first five are memory of the GPU.
enum class TrainingGroup : uint8_t {
  kWeights,
  kGradients,
  kOptimizer,  // master weights and moments
  kActivations,
  kBuffers,
  kHost,
  kNvme,
};

// "weights", "gradients", "optimizer", "activations", "buffers", "host", "nvme".
std::string_view NameOf(TrainingGroup group);

struct TrainingTerm {
  TrainingGroup group;
  std::string term;     // "moments"
  std::string formula;  // "13000000000 parameters x 8 bytes / 64 GPUs"
  Bytes bytes;
};

}  // namespace plimsoll
