#include "engine/device/cuda_error.h"

#include <cstdio>

namespace plimsoll::cuda {

int Report(cudaError_t error, const char* call, PlimsollCudaMessage* message) {
  if (error == cudaSuccess) return PLIMSOLL_CUDA_OK;
  std::snprintf(message->text, sizeof message->text, "%s: %s (%d)", call, cudaGetErrorString(error),
                static_cast<int>(error));
  switch (error) {
    case cudaErrorInsufficientDriver:  // also what a machine without any driver answers
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
      return PLIMSOLL_CUDA_NO_DEVICE;
    case cudaErrorMemoryAllocation:
      return PLIMSOLL_CUDA_OUT_OF_MEMORY;
    default:
      return PLIMSOLL_CUDA_FAILED;
  }
}

int Report(CUresult error, const char* call, PlimsollCudaMessage* message) {
  if (error == CUDA_SUCCESS) return PLIMSOLL_CUDA_OK;
  // The driver's errors that matter here have the runtime's numbers, and so its texts.
  std::snprintf(message->text, sizeof message->text, "%s: %s (%d)", call,
                cudaGetErrorString(static_cast<cudaError_t>(error)), static_cast<int>(error));
  if (error == CUDA_ERROR_OUT_OF_MEMORY) return PLIMSOLL_CUDA_OUT_OF_MEMORY;
  if (error == CUDA_ERROR_NOT_SUPPORTED) return PLIMSOLL_CUDA_UNSUPPORTED;
  return PLIMSOLL_CUDA_FAILED;
}

int Unsupported(const char* text, PlimsollCudaMessage* message) {
  std::snprintf(message->text, sizeof message->text, "%s", text);
  return PLIMSOLL_CUDA_UNSUPPORTED;
}

}  // namespace plimsoll::cuda
