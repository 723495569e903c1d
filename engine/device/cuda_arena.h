// An arena on the GPU: the module holds the memory, this side keeps the books.
//
// Threads, errors: see kvcache/pool/arena.h. Cost: Commit asks the driver for each chunk; Decommit
// waits for the device first.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/device/cuda_module.h"
#include "kvcache/pool/arena.h"

namespace plimsoll {

// `module` is open and outlives the arena. `max_bytes` is rounded up to whole chunks;
// InvalidArgument unless `chunk_bytes` is a positive multiple of `granule`.
absl::StatusOr<std::unique_ptr<Arena>> CreateCudaArena(const PlimsollCudaModule& module,
                                                       Bytes granule, Bytes max_bytes,
                                                       Bytes chunk_bytes);

}  // namespace plimsoll
