// Finds, loads and checks the CUDA module.
//
// Threads: any. Cost: opens a library; starts a CUDA context. Errors: FailedPrecondition, one line.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/device/backend.h"

namespace plimsoll {

// Where LoadCudaBackend looks, in order: beside the running program, in ../lib from there, and the
// bare name, for the loader's own path.
std::vector<std::string> CudaModulePaths();

// A backend on the first of `paths` that is there. The library stays loaded for good: code of it
// may run until the process ends.
absl::StatusOr<std::unique_ptr<DeviceBackend>> LoadCudaBackendFrom(
    const std::vector<std::string>& paths);

}  // namespace plimsoll
