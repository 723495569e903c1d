// Inside the CUDA module: CUDA's errors, of the runtime and of the driver, as codes of
// cuda_module.h.
//
// Threads: any. Cost: writes a line when there is an error. Errors: it is all about those.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "engine/device/cuda_module.h"

namespace plimsoll::cuda {

// The code for `error`; unless it is success, "<call>: <CUDA's text> (<number>)" in `message`.
int Report(cudaError_t error, const char* call, PlimsollCudaMessage* message);
int Report(CUresult error, const char* call, PlimsollCudaMessage* message);

// `text` as the message of an unsupported request.
int Unsupported(const char* text, PlimsollCudaMessage* message);

}  // namespace plimsoll::cuda
