// What NVIDIA's management library says of a GPU's memory: a second opinion beside CUDA's own
// figures, and the only one that tells this process from others.
//
// The library comes with the driver and is loaded when it is asked; nothing links it.
//
// Threads: any. Cost: opens a library and asks the driver, some milliseconds. Errors:
// FailedPrecondition without a library; Internal for a call that fails, by its name and number.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct NvmlMemory {
  Bytes total;
  Bytes reserved;                // by driver and firmware
  Bytes used;                    // by all processes, without what is reserved
  std::optional<Bytes> process;  // by this one; the driver does not say it everywhere
};

// The library's path: the environment's PLIMSOLL_NVML, or the name that the loader knows.
std::string NvmlLibrary();

// Of the GPU in this slot, "0000:65:00.0": the library numbers GPUs in another order than CUDA, and
// those too that CUDA was told not to see.
absl::StatusOr<NvmlMemory> ReadNvmlMemory(const std::string& library,
                                          const std::string& pci_bus_id);

}  // namespace plimsoll
