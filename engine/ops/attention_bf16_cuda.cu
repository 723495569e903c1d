#include "engine/ops/attention_launch_cuda.cuh"

template int plimsoll::cuda::LaunchAttentionOf<plimsoll::cuda::Stored::kBf16>(
    const PlimsollCudaAttention& call, simt::Stream stream);
