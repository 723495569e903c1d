// Inside the CUDA module: matrix products by cuBLAS, which gets its workspace from us, so that it
// takes no memory that nobody planned.
//
// Threads: one. Cost: OpenGemm starts cuBLAS, some tens of milliseconds. Errors: codes of
// cuda_module.h; Gemm answers 0 or a cudaError_t.
#pragma once

#include <cuda_runtime_api.h>

#include "engine/device/cuda_module.h"

namespace plimsoll::cuda {

// What OpenGemm takes of the device beside cuBLAS's own handle.
inline constexpr int64_t kGemmWorkspaceBytes = int64_t{32} << 20;

int OpenGemm(cudaStream_t stream, PlimsollCudaMessage* message);

// Queued on the stream that OpenGemm was given.
int Gemm(const PlimsollCudaGemm& args, cudaStream_t stream);

}  // namespace plimsoll::cuda
