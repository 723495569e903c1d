// What CUDA's kernels can do of a model, asked before an engine starts and not in its first step.
//
// Threads: pure. Cost: O(layers). Errors: Unimplemented, naming what the kernels lack.
#pragma once

#include "absl/status/status.h"
#include "engine/device/backend.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/cache_layout.h"

namespace plimsoll {

// OK on a CPU.
absl::Status CheckCudaLimits(const ModelConfig& model, const CacheLayout& layout,
                             const DeviceBackend& device);

}  // namespace plimsoll
