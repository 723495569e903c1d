// Stored numbers in kernels: fp32, fp16 and bf16 read and written as floats, and the type chosen
// once on the host, so that a kernel knows it at compile time.
//
// Threads: pure. Cost: an instruction each. Errors: a type that none of these is gives
// kNoKernel, and nothing is launched.
#pragma once

#include <type_traits>

#include "engine/ops/cuda_arguments.h"
#include "engine/ops/simt.cuh"

namespace plimsoll::cuda {

// What a launch answers for a type or shape that has no kernel; no cudaError_t is negative.
inline constexpr int kNoKernel = -1;

SIMT_DEVICE float Widen(float x) { return x; }
SIMT_DEVICE float Widen(__half x) { return __half2float(x); }
SIMT_DEVICE float Widen(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
SIMT_DEVICE T Narrow(float x) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half(x);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16(x);
  } else {
    return x;
  }
}

// Number `i` of a vector whose type is known only when the kernel runs.
SIMT_DEVICE float ReadStored(const void* data, int32_t type, int64_t i) {
  if (type == PLIMSOLL_CUDA_FP16) return Widen(static_cast<const __half*>(data)[i]);
  if (type == PLIMSOLL_CUDA_BF16) return Widen(static_cast<const __nv_bfloat16*>(data)[i]);
  return static_cast<const float*>(data)[i];
}

// Calls `launch` with a T{} of the type that is stored.
template <class LaunchWith>
int WithFloatType(int32_t type, const LaunchWith& launch) {
  switch (type) {
    case PLIMSOLL_CUDA_FP32:
      return launch(float{});
    case PLIMSOLL_CUDA_FP16:
      return launch(__half{});
    case PLIMSOLL_CUDA_BF16:
      return launch(__nv_bfloat16{});
    default:
      return kNoKernel;
  }
}

// The same for the types that products are made in.
template <class LaunchWith>
int WithHalfType(int32_t type, const LaunchWith& launch) {
  return type == PLIMSOLL_CUDA_FP32 ? kNoKernel : WithFloatType(type, launch);
}

}  // namespace plimsoll::cuda
