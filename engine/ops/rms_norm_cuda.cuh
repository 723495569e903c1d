// RMSNorm on CUDA: one block of threads a row. Each thread sums the squares of its columns, the
// warps their lanes by shuffles, the block its warps through shared memory; all in a fixed order.
#pragma once

#include "engine/ops/elements_cuda.cuh"

namespace plimsoll::cuda {

inline constexpr int kNormThreads = 256;
inline constexpr int kNormWarps = kNormThreads / simt::kWarp;

SIMT_DEVICE float SumOverWarp(float x) {
  for (int lanes = simt::kWarp / 2; lanes > 0; lanes /= 2) x += simt::ShuffleXor(x, lanes);
  return x;
}

// The sum of what the block's threads bring, for each of them. `of_warps` is shared, [kNormWarps].
SIMT_DEVICE float SumOverBlock(float x, float* of_warps) {
  const float mine = SumOverWarp(x);
  if (simt::ThreadX() % simt::kWarp == 0) of_warps[simt::ThreadX() / simt::kWarp] = mine;
  simt::Synchronize();
  float sum = 0;
  for (int warp = 0; warp < kNormWarps; ++warp) sum += of_warps[warp];
  return sum;
}

template <class Gain, class Out>
SIMT_KERNEL(kNormThreads)
NormRow(PlimsollCudaRmsNorm args) {
  const float* const x = args.x + simt::BlockX() * args.cols;
  Out* const out = static_cast<Out*>(args.out) + simt::BlockX() * args.cols;
  const Gain* const gain = static_cast<const Gain*>(args.gain.data);
  float squares = 0;
  for (int64_t c = simt::ThreadX(); c < args.cols; c += kNormThreads) squares += x[c] * x[c];
  const float mean =
      SumOverBlock(squares, simt::SharedMemory<float>()) / static_cast<float>(args.cols);
  const float scale = 1.0f / sqrtf(mean + args.epsilon);
  for (int64_t c = simt::ThreadX(); c < args.cols; c += kNormThreads) {
    const float normed = (Widen(gain[c]) + args.gain_offset) * (x[c] * scale);
    out[c] = Narrow<Out>(args.accumulate != 0 ? Widen(out[c]) + normed : normed);
  }
}

inline int LaunchRmsNorm(const PlimsollCudaRmsNorm& args, simt::Stream stream) {
  if (args.rows == 0) return 0;
  return WithFloatType(args.gain.type, [&](auto gain) {
    return WithFloatType(args.out_type, [&](auto out) {
      return simt::Launch(&NormRow<decltype(gain), decltype(out)>,
                          {.blocks_x = static_cast<int>(args.rows),
                           .threads = kNormThreads,
                           .shared_bytes = kNormWarps * static_cast<int>(sizeof(float))},
                          stream, args);
    });
  });
}

}  // namespace plimsoll::cuda
