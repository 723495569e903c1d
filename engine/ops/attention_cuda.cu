#include "engine/ops/attention_launch_cuda.cuh"

namespace plimsoll::cuda {

// Each type is compiled by itself, in attention_<type>_cuda.cu.
extern template int LaunchAttentionOf<PLIMSOLL_CUDA_FP16>(const PlimsollCudaAttention&,
                                                          simt::Stream);
extern template int LaunchAttentionOf<PLIMSOLL_CUDA_BF16>(const PlimsollCudaAttention&,
                                                          simt::Stream);
extern template int LaunchAttentionOf<PLIMSOLL_CUDA_FP8>(const PlimsollCudaAttention&,
                                                         simt::Stream);
extern template int LaunchAttentionOf<PLIMSOLL_CUDA_INT8>(const PlimsollCudaAttention&,
                                                          simt::Stream);
extern template int LaunchAttentionOf<PLIMSOLL_CUDA_INT4>(const PlimsollCudaAttention&,
                                                          simt::Stream);

int LaunchAttention(const PlimsollCudaAttention& call, simt::Stream stream) {
  if (call.block_tokens < kTileTokens) return kNoKernel;
  switch (call.type) {
    case PLIMSOLL_CUDA_FP16:
      return LaunchAttentionOf<PLIMSOLL_CUDA_FP16>(call, stream);
    case PLIMSOLL_CUDA_BF16:
      return LaunchAttentionOf<PLIMSOLL_CUDA_BF16>(call, stream);
    case PLIMSOLL_CUDA_FP8:
      return LaunchAttentionOf<PLIMSOLL_CUDA_FP8>(call, stream);
    case PLIMSOLL_CUDA_INT8:
      return LaunchAttentionOf<PLIMSOLL_CUDA_INT8>(call, stream);
    case PLIMSOLL_CUDA_INT4:
      return LaunchAttentionOf<PLIMSOLL_CUDA_INT4>(call, stream);
    default:
      return kNoKernel;
  }
}

}  // namespace plimsoll::cuda
