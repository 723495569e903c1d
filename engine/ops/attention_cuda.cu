#include "engine/ops/attention_launch_cuda.cuh"

namespace plimsoll::cuda {

// Each type is compiled by itself, in attention_<type>_cuda.cu.
extern template int LaunchAttentionOf<Stored::kFp16>(const PlimsollCudaAttention&, simt::Stream);
extern template int LaunchAttentionOf<Stored::kBf16>(const PlimsollCudaAttention&, simt::Stream);
extern template int LaunchAttentionOf<Stored::kFp8>(const PlimsollCudaAttention&, simt::Stream);
extern template int LaunchAttentionOf<Stored::kInt8>(const PlimsollCudaAttention&, simt::Stream);
extern template int LaunchAttentionOf<Stored::kInt4>(const PlimsollCudaAttention&, simt::Stream);

int LaunchAttention(const PlimsollCudaAttention& call, simt::Stream stream) {
  if (call.block_tokens < kTileTokens) return kNoKernel;
  switch (static_cast<Stored>(call.type)) {
    case Stored::kFp16:
      return LaunchAttentionOf<Stored::kFp16>(call, stream);
    case Stored::kBf16:
      return LaunchAttentionOf<Stored::kBf16>(call, stream);
    case Stored::kFp8:
      return LaunchAttentionOf<Stored::kFp8>(call, stream);
    case Stored::kInt8:
      return LaunchAttentionOf<Stored::kInt8>(call, stream);
    case Stored::kInt4:
      return LaunchAttentionOf<Stored::kInt4>(call, stream);
    default:
      return kNoKernel;
  }
}

}  // namespace plimsoll::cuda
