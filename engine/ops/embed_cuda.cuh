// Embed on CUDA: one block of threads a row.
#pragma once

#include "engine/ops/elements_cuda.cuh"

namespace plimsoll::cuda {

inline constexpr int kEmbedThreads = 256;

template <class T>
SIMT_KERNEL(kEmbedThreads)
EmbedRow(PlimsollCudaEmbed args) {
  const int64_t row = simt::BlockX();
  const int64_t cols = args.table.cols;
  const int32_t id = args.ids[row] >= 0 ? args.ids[row] : args.drawn[-1 - args.ids[row]];
  const T* const from = static_cast<const T*>(args.table.data) + id * cols;
  float* const to = args.out + row * cols;
  for (int64_t c = simt::ThreadX(); c < cols; c += kEmbedThreads) {
    to[c] = args.scale * Widen(from[c]);
  }
}

inline int LaunchEmbed(const PlimsollCudaEmbed& args, simt::Stream stream) {
  if (args.rows == 0) return 0;
  return WithFloatType(args.table.type, [&](auto element) {
    return simt::Launch(&EmbedRow<decltype(element)>,
                        {.blocks_x = static_cast<int>(args.rows), .threads = kEmbedThreads}, stream,
                        args);
  });
}

}  // namespace plimsoll::cuda
