#include "engine/ops/attention_launch_cuda.cuh"

template int plimsoll::cuda::LaunchAttentionOf<PLIMSOLL_CUDA_FP16>(
    const PlimsollCudaAttention& call, simt::Stream stream);
