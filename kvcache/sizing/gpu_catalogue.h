// Well-known GPUs: their memory, bandwidth and multiprocessors.
//
// `memory` is what the CUDA or HIP runtime reports as the total on a GPU of that name, in whole
// MiB, which is less than the size it is sold by and less than the driver's own tools show. It
// differs by some MiB between boards and driver versions; the engine asks the GPU itself. Each row
// says where its figure comes from. Bandwidths are those of the makers' data sheets.
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

enum class MemorySource : uint8_t {
  kQuery,    // measured: the runtime's figure to the MiB, as programs print it that list devices
  kMessage,  // measured: out-of-memory messages, which round to 0.01 GiB and so to 5 MiB
  kNominal,  // estimated: the size it is sold by, less what GPUs of its kind hold back
};

// "measured" or "estimated", and in some words how.
std::string_view MarkOf(MemorySource source);
std::string_view TextOf(MemorySource source);

struct GpuSpec {
  std::string_view name;     // "h100-80gb"
  std::string_view aliases;  // other names, separated by blanks: "h100nvl"
  int64_t memory_mib;
  int64_t bandwidth;  // 10^9 bytes a second
  int64_t multiprocessors;
  int64_t threads_per_multiprocessor;
  int compute_capability;  // times ten: 90; 0 where CUDA does not run
  MemorySource source;

  Bytes memory() const { return Bytes(memory_mib << 20); }
};

// From data centres to desks, newest first within each kind. Where a short name could mean several,
// the first row is meant.
std::span<const GpuSpec> KnownGpus();

// Finds "h100-80gb" by that name, by its model ("h100": the first of that model in the table), by
// its other names, and as makers write it: "NVIDIA H100 80GB HBM3", "GeForce RTX 4090", "AMD
// Instinct MI300X". Case and separators do not matter.
absl::StatusOr<GpuSpec> FindGpu(std::string_view name);

}  // namespace plimsoll
