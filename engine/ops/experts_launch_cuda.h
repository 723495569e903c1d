// Starts the kernels of a mixture: which experts, and what they make of a row together.
//
// They are compiled by themselves (experts_cuda.cu): their products come in as many forms as those
// of linear_cuda.cuh.
//
// Threads: one. Cost: a launch, respectively seven. Errors: 0, kNoKernel (elements_cuda.cuh), or a
// cudaError_t.
#pragma once

#include "engine/ops/cuda_arguments.h"
#include "engine/ops/simt.cuh"

namespace plimsoll::cuda {

int LaunchRoute(const PlimsollCudaRoute& args, simt::Stream stream);
int LaunchExperts(const PlimsollCudaExperts& args, simt::Stream stream);

}  // namespace plimsoll::cuda
