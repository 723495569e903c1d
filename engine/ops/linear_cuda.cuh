// Linear layers on CUDA for up to 64 rows of x: what decoding needs, bound by reading the weights.
//
// A block of 8 warps computes 16 or 32 outputs for all rows: weights are the A operand, straight
// from global memory into registers (weight_tiles_cuda.cuh), rows of x the 8 columns of B. The
// warps share out the inputs and add up once through shared memory, in a fixed order. Scales are
// applied in fp32 to sums over a group.
//
// x is fp16 or bf16, as are 16-bit weights; 64 divides the inputs, and 16 the outputs of quantised
// weights.
#pragma once

#include "engine/ops/weight_tiles_cuda.cuh"

namespace plimsoll::cuda {

inline constexpr int kLinearWarps = 8;
inline constexpr int kLinearThreads = kLinearWarps * simt::kWarp;
inline constexpr int kFewRows = 64;

// The scale of a group, and what its zero makes of the numbers, for rows g and g + 8 of a tile.
struct GroupScale {
  float scale[2] = {0, 0};
  uint32_t offset[2] = {0, 0};
};

template <class Tile>
SIMT_DEVICE GroupScale LoadScale(const PlimsollCudaWeight& weight, int64_t tile, int64_t group,
                                 bool there) {
  GroupScale loaded;
  if (!there) return loaded;
  const int64_t groups = (weight.cols + weight.group - 1) / weight.group;
  const int g = simt::ThreadX() % simt::kWarp / 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t at = (tile * groups + group) * kTileRows + g + 8 * half;
    if constexpr (Tile::kHasZeros) {
      const __half* const word = static_cast<const __half*>(weight.scales) + 2 * at;
      loaded.scale[half] = __half2float(word[0]);
      loaded.offset[half] = Tile::Offset(word[1]);
    } else {
      loaded.scale[half] = __half2float(static_cast<const __half*>(weight.scales)[at]);
    }
  }
  return loaded;
}

// The 64 columns of x from `column` on, of the row that this lane brings to each product: eight
// words, in the order of the steps.
template <class Tile>
SIMT_DEVICE void LoadX(const PlimsollCudaLinear& args, int64_t row, int64_t column, bool there,
                       uint32_t (&words)[2 * kSteps]) {
  const int t = simt::ThreadX() % 4;
  const typename Tile::Element* const x =
      static_cast<const typename Tile::Element*>(args.x) + row * args.weight.cols + column;
#pragma unroll
  for (int piece = 0; piece < 2; ++piece) {
    uint4 loaded = {0, 0, 0, 0};
    if (there) loaded = *reinterpret_cast<const uint4*>(x + Tile::XColumn(piece, t));
#pragma unroll
    for (int word = 0; word < 4; ++word) words[4 * piece + word] = WordOf(loaded, word);
  }
}

// Adds the warps' sums up and stores them: sums of 16 kRowTiles outputs by 8 kColumnTiles rows.
template <int kRowTiles, int kColumnTiles>
SIMT_DEVICE void StoreSums(const PlimsollCudaLinear& args, int64_t first_tile,
                           const float (&sums)[kRowTiles][kColumnTiles][4]) {
  constexpr int kOutputs = kRowTiles * kTileRows;
  constexpr int kStride = kColumnTiles * 8 + 1;  // one more than the rows, against bank conflicts
  float* const shared = simt::SharedMemory<float>();
  const int lane = simt::ThreadX() % simt::kWarp;
  const int warp = simt::ThreadX() / simt::kWarp;
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int output = r * kTileRows + lane / 4 + 8 * (i / 2);
        shared[(warp * kOutputs + output) * kStride + n * 8 + lane % 4 * 2 + i % 2] = sums[r][n][i];
      }
    }
  }
  simt::Synchronize();
  const int64_t outputs = args.weight.rows;
  const int rows = static_cast<int>(args.rows);
  for (int i = simt::ThreadX(); i < kOutputs * rows; i += kLinearThreads) {
    const int row = i / kOutputs;
    const int64_t output = first_tile * kTileRows + i % kOutputs;
    if (output >= outputs) continue;
    float sum = 0;
    for (int w = 0; w < kLinearWarps; ++w) {
      sum += shared[(w * kOutputs + i % kOutputs) * kStride + row];
    }
    if (args.bias.data != nullptr) sum += ReadStored(args.bias.data, args.bias.type, output);
    float* const out = args.out + row * outputs + output;
    *out = args.accumulate != 0 ? *out + sum : sum;
  }
}

// sums += scale * tile * x over the 64 columns that were loaded. kHalves is 2 where each half of
// them has a scale of its own.
template <class Tile, int kColumnTiles, int kHalves>
SIMT_DEVICE void MultiplyBlock(const uint4 (&loads)[Tile::kLoads],
                               const uint32_t (&x)[kColumnTiles][2 * kSteps],
                               const GroupScale (&scales)[kHalves],
                               float (&sums)[kColumnTiles][4]) {
  using T = typename Tile::Element;
  const int t = simt::ThreadX() % 4;
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    float products[kColumnTiles][4] = {};
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      bool mine = true;
      if constexpr (kHalves == 2) {
        if (Tile::StepIsAbsent(step, half)) continue;
        mine = !Tile::LaneIsAbsent(t, half);
      }
      uint32_t a[4];
      Tile::Fragment(loads, step, scales[half].offset[0], scales[half].offset[1], a);
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        const uint32_t b[2] = {mine ? x[n][2 * step] : 0, mine ? x[n][2 * step + 1] : 0};
        simt::MultiplyAdd<T>(products[n], a, b);
      }
    }
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[n][i] += (Tile::kScaled ? scales[half].scale[i / 2] : 1.0f) * products[n][i];
      }
    }
  }
}

// Blocks that a multiprocessor is to hold: two, except where a tile takes so many registers that
// some would spill.
template <class Tile, int kRowTiles, int kColumnTiles>
constexpr int LinearBlocks() {
  constexpr bool kInt8 = Tile::kLoads == 2;
  return kColumnTiles >= 4 || (kInt8 && kRowTiles * kColumnTiles == 4) ? 1 : 2;
}

// The outputs of one block of threads. kUnroll blocks of columns are loaded before the first is
// used: bytes in flight are what hides the latency of memory.
template <class Tile, int kRowTiles, int kColumnTiles, int kUnroll, int kHalves>
SIMT_DEVICE void MultiplyFewRows(const PlimsollCudaLinear& args) {
  const int lane = simt::ThreadX() % simt::kWarp;
  const int64_t first_tile = static_cast<int64_t>(simt::BlockX()) * kRowTiles;
  const int64_t blocks = args.weight.cols / kBlockColumns;
  float sums[kRowTiles][kColumnTiles][4] = {};
  for (int64_t first = simt::ThreadX() / simt::kWarp * kUnroll; first < blocks;
       first += kLinearWarps * kUnroll) {
    uint4 loads[kUnroll][kRowTiles][Tile::kLoads];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        Tile::Load(args.weight, first_tile + r, first + u, first + u < blocks, loads[u][r]);
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const bool there = first + u < blocks;
      const int64_t column = (first + u) * kBlockColumns;
      uint32_t x[kColumnTiles][2 * kSteps];
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        const int64_t row = n * 8 + lane / 4;
        LoadX<Tile>(args, row, column, there && row < args.rows, x[n]);
      }
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        GroupScale scales[kHalves];
        if constexpr (Tile::kScaled) {
#pragma unroll
          for (int half = 0; half < kHalves; ++half) {
            const int64_t group = (column + half * (kBlockColumns / kHalves)) / args.weight.group;
            scales[half] = LoadScale<Tile>(args.weight, first_tile + r, group, there);
          }
        }
        MultiplyBlock<Tile>(loads[u][r], x, scales, sums[r]);
      }
    }
  }
  StoreSums(args, first_tile, sums);
}

template <class Tile, int kRowTiles, int kColumnTiles, int kUnroll, int kHalves>
SIMT_KERNEL(kLinearThreads, (LinearBlocks<Tile, kRowTiles, kColumnTiles>()))
LinearFewRows(PlimsollCudaLinear args) {
  MultiplyFewRows<Tile, kRowTiles, kColumnTiles, kUnroll, kHalves>(args);
}

template <class Tile, int kRowTiles, int kColumnTiles, int kUnroll, int kHalves>
int LaunchFewRows(const PlimsollCudaLinear& args, simt::Stream stream) {
  constexpr int kOutputs = kRowTiles * kTileRows;
  constexpr int kShared =
      kLinearWarps * kOutputs * (kColumnTiles * 8 + 1) * static_cast<int>(sizeof(float));
  return simt::Launch(&LinearFewRows<Tile, kRowTiles, kColumnTiles, kUnroll, kHalves>,
                      {.blocks_x = static_cast<int>((args.weight.rows + kOutputs - 1) / kOutputs),
                       .threads = kLinearThreads,
                       .shared_bytes = kShared},
                      stream, args);
}

// Two tiles of rows to a block halve how often x is read; more columns of x leave no registers for
// them.
template <class Tile, int kHalves>
int LaunchByRows(const PlimsollCudaLinear& args, simt::Stream stream) {
  constexpr int kUnroll = 4 / Tile::kLoads;  // 32 registers of loads in two tiles of rows
  const bool two_tiles = args.weight.rows % (2 * kTileRows) == 0;
  if (args.rows <= 8 && two_tiles) return LaunchFewRows<Tile, 2, 1, kUnroll, kHalves>(args, stream);
  if (args.rows <= 8) return LaunchFewRows<Tile, 1, 1, 2 * kUnroll, kHalves>(args, stream);
  if (args.rows <= 16 && two_tiles) {
    return LaunchFewRows<Tile, 2, 2, kUnroll, kHalves>(args, stream);
  }
  if (args.rows <= 16) return LaunchFewRows<Tile, 1, 2, 2 * kUnroll, kHalves>(args, stream);
  if (args.rows <= 32) return LaunchFewRows<Tile, 1, 4, kUnroll, kHalves>(args, stream);
  return LaunchFewRows<Tile, 1, 8, (kUnroll + 1) / 2, kHalves>(args, stream);
}

template <class Tile>
int LaunchByGroup(const PlimsollCudaLinear& args, simt::Stream stream) {
  const int64_t group = args.weight.group;
  const bool whole_blocks = group % kBlockColumns == 0 || group >= args.weight.cols;
  if (whole_blocks) return LaunchByRows<Tile, 1>(args, stream);
  return group == kBlockColumns / 2 ? LaunchByRows<Tile, 2>(args, stream) : kNoKernel;
}

// For 1 to kFewRows rows.
inline int LaunchLinearFewRows(const PlimsollCudaLinear& args, simt::Stream stream) {
  const PlimsollCudaWeight& weight = args.weight;
  const bool ragged = weight.rows % kTileRows != 0;
  if (weight.cols % kBlockColumns != 0 || (ragged && weight.scales != nullptr)) {
    return kNoKernel;
  }
  return WithHalfType(args.x_type, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_same_v<T, float>) {
      return kNoKernel;
    } else {
      if (weight.type == PLIMSOLL_CUDA_INT4) return LaunchByGroup<Int4Tile<T>>(args, stream);
      if (weight.type == PLIMSOLL_CUDA_INT8) return LaunchByGroup<Int8Tile<T>>(args, stream);
      if (weight.type != args.x_type) return kNoKernel;
      return LaunchByRows<PlainTile<T>, 1>(args, stream);
    }
  });
}

}  // namespace plimsoll::cuda
