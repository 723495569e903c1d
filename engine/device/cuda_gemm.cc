#include "engine/device/cuda_gemm.h"

#include <cublas_v2.h>

#include <cstdio>

#include "engine/device/cuda_error.h"

namespace plimsoll::cuda {
namespace {

cublasHandle_t handle = nullptr;  // for the life of the process

int ReportCublas(cublasStatus_t status, const char* call, PlimsollCudaMessage* message) {
  if (status == CUBLAS_STATUS_SUCCESS) return PLIMSOLL_CUDA_OK;
  std::snprintf(message->text, sizeof message->text, "%s: %s (%d)", call,
                cublasGetStatusString(status), static_cast<int>(status));
  return status == CUBLAS_STATUS_ALLOC_FAILED ? PLIMSOLL_CUDA_OUT_OF_MEMORY : PLIMSOLL_CUDA_FAILED;
}

}  // namespace

int OpenGemm(cudaStream_t stream, PlimsollCudaMessage* message) {
  int code = ReportCublas(cublasCreate(&handle), "cublasCreate", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  code = ReportCublas(cublasSetStream(handle, stream), "cublasSetStream", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  void* workspace = nullptr;
  code = Report(cudaMalloc(&workspace, kGemmWorkspaceBytes), "cudaMalloc", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  return ReportCublas(cublasSetWorkspace(handle, workspace, kGemmWorkspaceBytes),
                      "cublasSetWorkspace", message);
}

// cuBLAS counts by columns: row-major out [rows, cols] is its [cols, rows], and so is every matrix.
int Gemm(const PlimsollCudaGemm& args, cudaStream_t) {
  const cudaDataType_t type = args.type == PLIMSOLL_CUDA_FP16 ? CUDA_R_16F : CUDA_R_16BF;
  const float alpha = 1;
  const float beta = args.accumulate != 0 ? 1 : 0;
  const int rows = static_cast<int>(args.rows);
  const int cols = static_cast<int>(args.cols);
  const int inner = static_cast<int>(args.inner);
  const cublasStatus_t status =
      cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, cols, rows, inner, &alpha, args.weight, type,
                   inner, args.x, type, inner, &beta, args.out, CUDA_R_32F,
                   static_cast<int>(args.out_stride), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  return status == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorUnknown;
}

}  // namespace plimsoll::cuda
