// Linear layers on CUDA for more rows of x than linear_cuda.cuh takes: a library's matrix product
// over 16-bit weights. Quantised weights are widened before, a slice of outputs at a time, into a
// buffer small enough to stay in the L2 cache.
//
// The product comes through a function pointer: cuBLAS on a GPU, a plain loop in the emulator.
#pragma once

#include "engine/ops/linear_cuda.cuh"

namespace plimsoll::cuda {

struct LinearResources {
  int (*gemm)(const PlimsollCudaGemm& args, simt::Stream stream);  // 0, or an error's number
  void* slice;                                                     // for widened weights
  int64_t slice_bytes;
};

inline constexpr int kBiasThreads = 256;
inline constexpr int kWidenWarps = 4;
inline constexpr int kWidenThreads = kWidenWarps * simt::kWarp;

// out = bias, or out += bias: one block of threads a row.
SIMT_KERNEL(kBiasThreads)
StartWithBias(PlimsollCudaLinear args) {
  float* const out = args.out + simt::BlockX() * args.weight.rows;
  for (int64_t n = simt::ThreadX(); n < args.weight.rows; n += kBiasThreads) {
    const float bias = ReadStored(args.bias.data, args.bias.type, n);
    out[n] = args.accumulate != 0 ? out[n] + bias : bias;
  }
}

// Tiles from `first_tile` on, as rows of `out`. One warp a tile of 16 rows and 64 columns; blocks:
// [tiles, ceil(column blocks / warps)].
template <class Tile>
SIMT_KERNEL(kWidenThreads)
WidenTiles(PlimsollCudaWeight weight, int64_t first_tile, typename Tile::Element* out) {
  using T = typename Tile::Element;
  const int lane = simt::ThreadX() % simt::kWarp;
  const int64_t block = simt::BlockY() * kWidenWarps + simt::ThreadX() / simt::kWarp;
  if (block >= weight.cols / kBlockColumns) return;
  const int64_t tile = first_tile + simt::BlockX();
  uint4 loads[Tile::kLoads];
  Tile::Load(weight, tile, block, true, loads);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int64_t column =
        block * kBlockColumns + Tile::XColumn(step / 2, lane % 4) + 4 * (step % 2);
    const GroupScale scale = LoadScale<Tile>(weight, tile, column / weight.group, true);
    uint32_t numbers[4];
    Tile::Fragment(loads, step, scale.offset[0], scale.offset[1], numbers);
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int64_t row = simt::BlockX() * kTileRows + lane / 4 + 8 * (r % 2);
      T* const to = out + row * weight.cols + column + 2 * (r / 2);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const T number = SameBits<T>(static_cast<uint16_t>(numbers[r] >> (16 * half)));
        to[half] = Narrow<T>(scale.scale[r % 2] * Widen(number));
      }
    }
  }
}

inline int LaunchBias(const PlimsollCudaLinear& args, simt::Stream stream) {
  if (args.bias.data == nullptr) return 0;
  return simt::Launch(&StartWithBias,
                      {.blocks_x = static_cast<int>(args.rows), .threads = kBiasThreads}, stream,
                      args);
}

// Product over the outputs [first, first + count), whose weights are `weights`, row-major.
inline int MultiplyOutputs(const PlimsollCudaLinear& args, const void* weights, int64_t first,
                           int64_t count, const LinearResources& resources, simt::Stream stream) {
  const bool started = args.accumulate != 0 || args.bias.data != nullptr;
  return resources.gemm({.x = args.x,
                         .weight = weights,
                         .type = args.x_type,
                         .rows = args.rows,
                         .cols = count,
                         .inner = args.weight.cols,
                         .accumulate = started,
                         .out = args.out + first,
                         .out_stride = args.weight.rows},
                        stream);
}

template <class Tile>
int LaunchWidened(const PlimsollCudaLinear& args, const LinearResources& resources,
                  simt::Stream stream) {
  using T = typename Tile::Element;
  const PlimsollCudaWeight& weight = args.weight;
  if (weight.rows % kTileRows != 0 || weight.cols % kBlockColumns != 0) return kNoKernel;
  const int64_t tile_bytes = kTileRows * weight.cols * static_cast<int64_t>(sizeof(T));
  const int64_t tiles = weight.rows / kTileRows;
  const int64_t tiles_at_once = resources.slice_bytes / tile_bytes;
  if (tiles_at_once == 0) return kNoKernel;
  if (const int started = LaunchBias(args, stream); started != 0) return started;
  const int64_t blocks = weight.cols / kBlockColumns;
  T* const slice = static_cast<T*>(resources.slice);
  for (int64_t tile = 0; tile < tiles; tile += tiles_at_once) {
    const int64_t count = tiles - tile < tiles_at_once ? tiles - tile : tiles_at_once;
    const int widened =
        simt::Launch(&WidenTiles<Tile>,
                     {.blocks_x = static_cast<int>(count),
                      .blocks_y = static_cast<int>((blocks + kWidenWarps - 1) / kWidenWarps),
                      .threads = kWidenThreads},
                     stream, weight, tile, slice);
    if (widened != 0) return widened;
    const int multiplied =
        MultiplyOutputs(args, slice, tile * kTileRows, count * kTileRows, resources, stream);
    if (multiplied != 0) return multiplied;
  }
  return 0;
}

inline int LaunchLinearManyRows(const PlimsollCudaLinear& args, const LinearResources& resources,
                                simt::Stream stream) {
  const PlimsollCudaWeight& weight = args.weight;
  return WithHalfType(args.x_type, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_same_v<T, float>) {
      return kNoKernel;
    } else {
      if (weight.type == PLIMSOLL_CUDA_INT4) {
        return LaunchWidened<Int4Tile<T>>(args, resources, stream);
      }
      if (weight.type == PLIMSOLL_CUDA_INT8) {
        return LaunchWidened<Int8Tile<T>>(args, resources, stream);
      }
      if (weight.type != args.x_type) return kNoKernel;
      if (const int started = LaunchBias(args, stream); started != 0) return started;
      return MultiplyOutputs(args, weight.data, 0, weight.rows, resources, stream);
    }
  });
}

inline int LaunchLinear(const PlimsollCudaLinear& args, const LinearResources& resources,
                        simt::Stream stream) {
  if (args.rows == 0) return 0;
  return args.rows <= kFewRows ? LaunchLinearFewRows(args, stream)
                               : LaunchLinearManyRows(args, resources, stream);
}

}  // namespace plimsoll::cuda
