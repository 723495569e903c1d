// Memory of well-known GPUs, and an estimate of what the CUDA runtime takes of it.
//
// `memory` is what CUDA reports as the total on a GPU of that name, in whole MiB, which is less
// than the driver's own tools show. It differs by some MiB between boards and driver versions; the
// engine asks the GPU itself.
//
//   runtime = context + cuBLAS workspace + graphs                       (an estimate)
//   context = 8 MiB + multiprocessors x threads of each x 1980 bytes
//   cuBLAS  = 32 MiB from compute capability 9.0 on, 4 MiB before
//   graphs  = 13 batch sizes x (9 x layers + 5) kernels x 10 KiB
//
// Threads: pure. Cost: a look through the table. Errors: InvalidArgument listing the names.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct GpuSpec {
  std::string_view name;  // "h100-80gb"
  int64_t memory_mib;
  int64_t multiprocessors;
  int64_t threads_per_multiprocessor;
  int compute_capability;  // times ten: 90

  Bytes memory() const { return Bytes(memory_mib << 20); }
};

std::span<const GpuSpec> KnownGpus();

// Finds "h100-80gb" by that name, by its model ("h100": the first of that model in the table), and
// as makers write it: "NVIDIA H100 80GB HBM3", "GeForce RTX 4090". Case and separators do not
// matter.
absl::StatusOr<GpuSpec> FindGpu(std::string_view name);

struct RuntimeEstimate {
  Bytes bytes;
  std::string formula;
};
RuntimeEstimate EstimateRuntime(const GpuSpec& gpu, int64_t layers);

}  // namespace plimsoll
