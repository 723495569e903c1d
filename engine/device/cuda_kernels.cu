#include "engine/device/cuda_kernels.h"

#include "engine/device/cuda_error.h"
#include "engine/device/cuda_gemm.h"
#include "engine/ops/attention_launch_cuda.cuh"
#include "engine/ops/embed_cuda.cuh"
#include "engine/ops/experts_launch_cuda.h"
#include "engine/ops/gated_activation_cuda.cuh"
#include "engine/ops/linear_many_rows_cuda.cuh"
#include "engine/ops/rms_norm_cuda.cuh"
#include "engine/ops/rotate_and_append_cuda.cuh"
#include "engine/ops/sample_cuda.cuh"
#include "engine/ops/softcap_cuda.cuh"

namespace plimsoll::cuda {
namespace {

// Of widened weights: large enough for a matrix product to be efficient, small enough to stay in
// L2.
constexpr int64_t kSliceBytes = int64_t{32} << 20;

cudaStream_t stream = nullptr;
void* slice = nullptr;

int Answer(int launched, PlimsollCudaMessage* message) {
  if (launched == kNoKernel) {
    return Unsupported("no kernel for this type or shape", message);
  }
  return Report(static_cast<cudaError_t>(launched), "launch", message);
}

template <auto kLaunch, class Arguments>
int Run(const Arguments* args, PlimsollCudaMessage* message) {
  return Answer(kLaunch(*args, stream), message);
}

int Linear(const PlimsollCudaLinear* args, PlimsollCudaMessage* message) {
  const LinearResources resources = {.gemm = &Gemm, .slice = slice, .slice_bytes = kSliceBytes};
  return Answer(LaunchLinear(*args, resources, stream), message);
}

int Product(const PlimsollCudaGemm* args, PlimsollCudaMessage* message) {
  return Answer(Gemm(*args, stream), message);
}

}  // namespace

int OpenKernels(PlimsollCudaMessage* message) {
  int code = Report(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                    "cudaStreamCreateWithFlags", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  code = Report(cudaMalloc(&slice, kSliceBytes), "cudaMalloc", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  return OpenGemm(stream, message);
}

int64_t KernelBytes() { return kSliceBytes; }

cudaStream_t Stream() { return stream; }

PlimsollCudaKernels Kernels() {
  return {.embed = &Run<&LaunchEmbed, PlimsollCudaEmbed>,
          .rms_norm = &Run<&LaunchRmsNorm, PlimsollCudaRmsNorm>,
          .linear = &Linear,
          .rotate_and_append = &Run<&LaunchRotateAndAppend, PlimsollCudaAppend>,
          .attention = &Run<&LaunchAttention, PlimsollCudaAttention>,
          .gated_activation = &Run<&LaunchGatedActivation, PlimsollCudaGatedActivation>,
          .softcap = &Run<&LaunchSoftcap, PlimsollCudaSoftcap>,
          .route = &Run<&LaunchRoute, PlimsollCudaRoute>,
          .experts = &Run<&LaunchExperts, PlimsollCudaExperts>,
          .sample = &Run<&LaunchSample, PlimsollCudaSample>,
          .gemm = &Product};
}

}  // namespace plimsoll::cuda
