// Inside the CUDA module: its kernels as the table that programs call, and the stream that they are
// queued on.
//
// Threads: one. Cost: OpenKernels as OpenGemm's. Errors: codes of cuda_module.h.
#pragma once

#include <cuda_runtime_api.h>

#include "engine/device/cuda_module.h"

namespace plimsoll::cuda {

// Takes what the kernels share: a slice of memory for widened weights, and cuBLAS.
int OpenKernels(PlimsollCudaMessage* message);

// Of the device, that OpenKernels asks for beside what cuBLAS needs.
int64_t KernelBytes();

// All work of the module is on it, in order.
cudaStream_t Stream();

// The kernels, to be called once they are open.
PlimsollCudaKernels Kernels();

}  // namespace plimsoll::cuda
