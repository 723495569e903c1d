// The one place where what the CUDA module reports becomes a Status.
//
// Threads: pure. Cost: builds a string when the code is bad. Errors: it is all about those.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "engine/device/cuda_module.h"

namespace plimsoll {

// No device: FailedPrecondition; out of memory: ResourceExhausted; unsupported: Unimplemented; any
// other: Internal. The message is "<what>: <the module's line>".
absl::Status CudaStatus(int code, std::string_view what, const PlimsollCudaMessage& message);

}  // namespace plimsoll
