// The GPU as a backend, over a module that has been loaded.
//
// Threads, cost: see backend.h. Errors: FailedPrecondition when there is no GPU.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "engine/device/cuda_module.h"

namespace plimsoll {

// `module` outlives the backend. Opens `device` and starts its context.
absl::StatusOr<std::unique_ptr<DeviceBackend>> CreateCudaBackend(const PlimsollCudaModule& module,
                                                                 int device);

}  // namespace plimsoll
