// Gated activations on CUDA: one thread an element, in strides of the grid.
#pragma once

#include "engine/ops/elements_cuda.cuh"

namespace plimsoll::cuda {

inline constexpr int kGateThreads = 256;
inline constexpr int kGateMostBlocks = 4096;

// By the values of plimsoll::Activation.
enum GateFunction : int32_t { kGateSilu = 0, kGateGelu = 1, kGateGeluTanh = 2 };

SIMT_DEVICE float Activate(float x, int32_t activation) {
  constexpr float kSqrtHalf = 0.707106781186547524f;
  constexpr float kSqrtTwoOverPi = 0.797884560802865356f;
  if (activation == kGateSilu) return x / (1.0f + expf(-x));
  if (activation == kGateGelu) return 0.5f * x * (1.0f + erff(x * kSqrtHalf));
  return 0.5f * x * (1.0f + tanhf(kSqrtTwoOverPi * (x + 0.044715f * x * x * x)));
}

template <class Out>
SIMT_KERNEL(kGateThreads)
GateElements(PlimsollCudaGatedActivation args) {
  const int64_t stride = static_cast<int64_t>(simt::BlocksX()) * kGateThreads;
  const int64_t first = static_cast<int64_t>(simt::BlockX()) * kGateThreads + simt::ThreadX();
  for (int64_t i = first; i < args.count; i += stride) {
    static_cast<Out*>(args.out)[i] =
        Narrow<Out>(Activate(args.gate[i], args.activation) * args.up[i]);
  }
}

inline int LaunchGatedActivation(const PlimsollCudaGatedActivation& args, simt::Stream stream) {
  if (args.count == 0) return 0;
  const int64_t blocks = (args.count + kGateThreads - 1) / kGateThreads;
  return WithFloatType(args.out_type, [&](auto out) {
    return simt::Launch(
        &GateElements<decltype(out)>,
        {.blocks_x = static_cast<int>(blocks < kGateMostBlocks ? blocks : kGateMostBlocks),
         .threads = kGateThreads},
        stream, args);
  });
}

}  // namespace plimsoll::cuda
