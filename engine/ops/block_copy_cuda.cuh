// Copies of whole blocks inside the pool, for compaction: one block of threads a copy.
#pragma once

#include "engine/ops/elements_cuda.cuh"

namespace plimsoll::cuda {

inline constexpr int kCopyThreads = 256;

SIMT_KERNEL(kCopyThreads)
CopyBlock(PlimsollCudaBlockCopies args) {
  const unsigned char* const from = args.pool + args.from[simt::BlockX()] * args.block_bytes;
  unsigned char* const to = args.pool + args.to[simt::BlockX()] * args.block_bytes;
  constexpr int kBytes = static_cast<int>(sizeof(uint4));
  for (int64_t at = simt::ThreadX() * kBytes; at < args.block_bytes; at += kCopyThreads * kBytes) {
    *reinterpret_cast<uint4*>(to + at) = *reinterpret_cast<const uint4*>(from + at);
  }
}

inline int LaunchBlockCopies(const PlimsollCudaBlockCopies& args, simt::Stream stream) {
  if (args.count == 0) return 0;
  if (args.block_bytes % static_cast<int64_t>(sizeof(uint4)) != 0) return kNoKernel;
  return simt::Launch(&CopyBlock,
                      {.blocks_x = static_cast<int>(args.count), .threads = kCopyThreads}, stream,
                      args);
}

}  // namespace plimsoll::cuda
