// A CUDA module whose device does nothing: memory is the host's, kernels and graphs return at once,
// every token drawn is token 0. What is left of a step is what the host does for it.
//
// Threads: one. Cost: next to none. Errors: none.
#pragma once

#include "engine/device/cuda_module.h"

namespace plimsoll {

const PlimsollCudaModule& IdleModule();

}  // namespace plimsoll
