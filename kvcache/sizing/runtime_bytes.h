// What the CUDA runtime and its libraries take of a GPU's memory beside the engine: an estimate,
// from constants that are tabled here with where they come from.
//
//   context       = 8 MiB + multiprocessors x threads of each x 1980 bytes
//   cublas        = 32 MiB from compute capability 9.0 on, 4 MiB before
//   graphs        = 13 batch sizes x (9 x layers + 5) kernels x 10 KiB
//   communication = 342 MiB between two GPUs, 392 MiB between more; nothing for one
//
// Of GPUs that CUDA does not run on no context is known to us; 512 MiB stand for it.
//
// Threads: pure. Cost: O(1). Errors: none; layers and gpus are not negative.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvcache/base/units.h"
#include "kvcache/sizing/gpu_catalogue.h"

namespace plimsoll {

// One of the numbers in the formulas above.
struct RuntimeConstant {
  std::string_view name;
  int64_t value;
  std::string_view unit;
  bool measured;  // else estimated from a few measurements
  std::string_view source;
};
std::span<const RuntimeConstant> RuntimeConstants();

struct RuntimeLine {
  std::string_view term;  // "context", "cublas", "graphs", "communication"
  Bytes bytes;
  std::string formula;  // with the numbers put in
};

struct RuntimeEstimate {
  Bytes bytes;          // the sum of the lines
  std::string formula;  // all of them in one line
  std::vector<RuntimeLine> lines;
};

// On each of `gpus` that serve one model of which this one holds `layers`. No layers: no graphs.
RuntimeEstimate EstimateRuntime(const GpuSpec& gpu, int64_t layers, int64_t gpus = 1);

}  // namespace plimsoll
