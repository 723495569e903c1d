// From a call to the kernel of its type and width.
//
// Threads: any that may use the stream. Cost: one pass over K and V of each item; kernels are
// queued. Errors: a cudaError_t, or kNoKernel before anything is queued.
#pragma once

#include "engine/ops/attention_chunk_cuda.cuh"
#include "engine/ops/elements_cuda.cuh"

namespace plimsoll::cuda {

inline AttentionParameters AttentionParametersOf(const PlimsollCudaAttention& call, int columns) {
  const int group = call.heads / call.kv_heads;
  int block_shift = 0;
  while (1 << block_shift < call.block_tokens) ++block_shift;
  return {.q = call.q,
          .out = {call.out, call.out_type},
          .places = call.places,
          .sinks = call.sinks,
          .heads = call.heads,
          .group = group,
          .pass_heads = group < columns ? group : columns,
          .window = call.window,
          .scale_log2 = call.scale * kLog2E,
          .softcap_log2 = call.softcap * kLog2E,
          .softcap_rate = call.softcap == 0 ? 0 : 2 * call.scale * kLog2E / call.softcap,
          .block_shift = block_shift,
          .layer = call.layer,
          .block_bytes = call.block_bytes,
          .head_bytes = call.head_bytes,
          .kv_bytes = call.kv_bytes,
          .scales = call.scales,
          .items = call.items,
          .partial_sums = call.partial_sums,
          .partial_weights = call.partial_weights};
}

template <PlimsollCudaType kType, int kDim, int kTiles>
int LaunchItems(const PlimsollCudaAttention& call, simt::Stream stream) {
  const AttentionParameters parameters = AttentionParametersOf(call, 8 * kTiles);
  const simt::LaunchShape shape = {
      .blocks_x = call.item_count,
      .blocks_y = call.kv_heads,
      .blocks_z = (parameters.group + parameters.pass_heads - 1) / parameters.pass_heads,
      .threads = 32 * kAttentionWarps,
      .shared_bytes = AttentionSharedBytes<kDim, kTiles>()};
  return simt::Launch(
      &Attention<kType, kDim, kTiles, AttentionBlocksPerMultiprocessor(8 * kTiles, kDim)>, shape,
      stream, parameters);
}

template <PlimsollCudaType kType, int kDim>
int LaunchChunks(const PlimsollCudaAttention& call, simt::Stream stream) {
  constexpr int kTiles = ChunkColumns(kDim) / (8 * kAttentionWarps);
  AttentionParameters parameters = AttentionParametersOf(call, ChunkColumns(kDim));
  parameters.items = call.chunks;
  const simt::LaunchShape shape = {
      .blocks_x = call.chunk_count,
      .blocks_y = call.kv_heads,
      .blocks_z = (parameters.group + parameters.pass_heads - 1) / parameters.pass_heads,
      .threads = 32 * kAttentionWarps,
      .shared_bytes = ChunkSharedBytes<kType, kDim, kTiles>()};
  return simt::Launch(&ChunkAttention<kType, kDim, kTiles>, shape, stream, parameters);
}

template <int kDim>
int LaunchSplits(const PlimsollCudaAttention& call, simt::Stream stream) {
  const simt::LaunchShape shape = {
      .blocks_x = call.split_count, .blocks_y = call.heads, .threads = 32 * kAttentionWarps};
  return simt::Launch(&CombineAttention<kDim>, shape, stream, call.splits, call.partial_sums,
                      call.partial_weights, call.sinks, call.heads,
                      AttentionOut{call.out, call.out_type});
}

template <PlimsollCudaType kType, int kDim>
int LaunchItemsOf(const PlimsollCudaAttention& call, simt::Stream stream) {
  if (call.item_count == 0) return 0;
  if constexpr (AttentionColumns(16, 1, kDim) == 16) {
    if (AttentionColumns(call.heads, call.kv_heads, kDim) == 16) {
      return LaunchItems<kType, kDim, 2>(call, stream);
    }
  }
  return LaunchItems<kType, kDim, 1>(call, stream);
}

template <PlimsollCudaType kType, int kDim>
int LaunchAttentionOf(const PlimsollCudaAttention& call, simt::Stream stream) {
  int code = LaunchItemsOf<kType, kDim>(call, stream);
  if (code == 0 && call.chunk_count > 0) code = LaunchChunks<kType, kDim>(call, stream);
  if (code != 0 || call.split_count == 0) return code;
  return LaunchSplits<kDim>(call, stream);
}

template <PlimsollCudaType kType>
int LaunchAttentionOf(const PlimsollCudaAttention& call, simt::Stream stream) {
  switch (call.head_dim) {
    case 64:
      return LaunchAttentionOf<kType, 64>(call, stream);
    case 80:
      return LaunchAttentionOf<kType, 80>(call, stream);
    case 96:
      return LaunchAttentionOf<kType, 96>(call, stream);
    case 128:
      return LaunchAttentionOf<kType, 128>(call, stream);
    case 256:
      return LaunchAttentionOf<kType, 256>(call, stream);
    default:
      return kNoKernel;
  }
}

// The call for any type, in attention_cuda.cu.
int LaunchAttention(const PlimsollCudaAttention& call, simt::Stream stream);

}  // namespace plimsoll::cuda
