// Softcap on CUDA: one thread an element, in strides of the grid.
#pragma once

#include "engine/ops/elements_cuda.cuh"

namespace plimsoll::cuda {

inline constexpr int kSoftcapThreads = 256;
inline constexpr int kSoftcapMostBlocks = 4096;

SIMT_KERNEL(kSoftcapThreads)
SoftcapElements(PlimsollCudaSoftcap args) {
  const int64_t stride = static_cast<int64_t>(simt::BlocksX()) * kSoftcapThreads;
  const int64_t first = static_cast<int64_t>(simt::BlockX()) * kSoftcapThreads + simt::ThreadX();
  for (int64_t i = first; i < args.count; i += stride) {
    args.x[i] = args.cap * tanhf(args.x[i] / args.cap);
  }
}

inline int LaunchSoftcap(const PlimsollCudaSoftcap& args, simt::Stream stream) {
  if (args.count == 0) return 0;
  const int64_t blocks = (args.count + kSoftcapThreads - 1) / kSoftcapThreads;
  return simt::Launch(
      &SoftcapElements,
      {.blocks_x = static_cast<int>(blocks < kSoftcapMostBlocks ? blocks : kSoftcapMostBlocks),
       .threads = kSoftcapThreads},
      stream, args);
}

}  // namespace plimsoll::cuda
