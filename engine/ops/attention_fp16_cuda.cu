#include "engine/ops/attention_launch_cuda.cuh"

template int plimsoll::cuda::LaunchAttentionOf<plimsoll::cuda::Stored::kFp16>(
    const PlimsollCudaAttention& call, simt::Stream stream);
