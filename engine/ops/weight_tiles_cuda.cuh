// Weights as the A operand of matrix products: 16 rows by 64 columns at a time, held by one warp.
//
// A dot product does not care in which order its terms come, so each storage has the order in which
// a lane's 16-byte loads hold what the lane needs; x is read in the same order. With g = lane / 4
// and t = lane % 4, the operand of step s (of 4) has, for rows g and g + 8, the columns
//
//   int4            16t + 4s + {0, 1 | 2, 3}
//   int8            32(s / 2) + 8t + 4(s % 2) + {0, 1 | 2, 3}
//   fp16, bf16      8(t + 4(s / 2)) + 4(s % 2) + {0, 1 | 2, 3}
//
// 16-bit weights are stored row-major as they are, quantised ones as
// engine/weights/fragment_layout.h says.
//
// Threads: a warp. Cost: one to three instructions a weight. Errors: none; rows are a multiple of
// 16 and columns of 64.
#pragma once

#include <cstring>
#include <type_traits>

#include "engine/ops/cuda_arguments.h"
#include "engine/ops/elements_cuda.cuh"
#include "engine/ops/simt.cuh"

namespace plimsoll::cuda {

inline constexpr int kTileRows = 16;
inline constexpr int kBlockColumns = 64;
inline constexpr int kSteps = kBlockColumns / 16;
inline constexpr int kLoadBytes = 16;

template <class T>
using PairOf = std::conditional_t<std::is_same_v<T, __half>, __half2, __nv_bfloat162>;

template <class To, class From>
SIMT_DEVICE To SameBits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(static_cast<void*>(&to), static_cast<const void*>(&from), sizeof to);
  return to;
}

template <class T>
SIMT_DEVICE uint32_t SubtractPairs(uint32_t a, uint32_t b) {
  using Pair = PairOf<T>;
  return SameBits<uint32_t>(__hsub2(SameBits<Pair>(a), SameBits<Pair>(b)));
}

SIMT_DEVICE uint32_t WordOf(const uint4& load, int word) {
  return word == 0 ? load.x : word == 1 ? load.y : word == 2 ? load.z : load.w;
}

// Where the loads of a tile of quantised weights begin.
SIMT_DEVICE const unsigned char* FragmentAt(const PlimsollCudaWeight& weight, int64_t tile,
                                            int64_t block, int block_columns) {
  const int64_t blocks = weight.cols / block_columns;
  const int64_t load = (tile * blocks + block) * simt::kWarp + simt::ThreadX() % simt::kWarp;
  return static_cast<const unsigned char*>(weight.data) + load * kLoadBytes;
}

// fp16 and bf16.
template <class T>
struct PlainTile {
  using Element = T;
  static constexpr int kLoads = 4;
  static constexpr bool kScaled = false;

  // First of the eight columns that piece `piece` of x holds for this lane.
  SIMT_DEVICE static int XColumn(int piece, int t) { return 8 * (t + 4 * piece); }

  SIMT_DEVICE static void Load(const PlimsollCudaWeight& weight, int64_t tile, int64_t block,
                               bool there, uint4 (&loads)[kLoads]) {
    const int lane = simt::ThreadX() % simt::kWarp;
    const T* const data = static_cast<const T*>(weight.data);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int64_t row = tile * kTileRows + lane / 4 + 8 * (i % 2);
      const int64_t column = block * kBlockColumns + XColumn(i / 2, lane % 4);
      loads[i] = simt::Load16If(there && row < weight.rows, data + row * weight.cols + column);
    }
  }

  SIMT_DEVICE static void Fragment(const uint4 (&loads)[kLoads], int step, uint32_t, uint32_t,
                                   uint32_t (&a)[4]) {
    const uint4& low = loads[step / 2 * 2];
    const uint4& high = loads[step / 2 * 2 + 1];
    const int word = step % 2 * 2;
    a[0] = WordOf(low, word);
    a[1] = WordOf(high, word);
    a[2] = WordOf(low, word + 1);
    a[3] = WordOf(high, word + 1);
  }
};

// Four bytes, each a number and 128, as two pairs. fp16: the byte as the last bits of 1024, less
// 1152.
SIMT_DEVICE void WidenBytes(uint32_t bytes, uint32_t& first, uint32_t& second, __half) {
  first = SubtractPairs<__half>(simt::PermuteBytes(bytes, 0x64646464u, 0x5150u), 0x64806480u);
  second = SubtractPairs<__half>(simt::PermuteBytes(bytes, 0x64646464u, 0x5352u), 0x64806480u);
}

// bf16 has too few bits for that, fp32 has enough; of a byte's fp32 the upper half is its bf16.
SIMT_DEVICE void WidenBytes(uint32_t bytes, uint32_t& first, uint32_t& second, __nv_bfloat16) {
  constexpr float kShift = 8388608.0f + 128.0f;  // 2^23, whose last bit is worth 1
  uint32_t wide[4];
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t bits = simt::PermuteBytes(bytes, 0x4B000000u, 0x7440u | i);
    wide[i] = SameBits<uint32_t>(SameBits<float>(bits) - kShift);
  }
  first = simt::PermuteBytes(wide[0], wide[1], 0x7632u);
  second = simt::PermuteBytes(wide[2], wide[3], 0x7632u);
}

template <class T>
struct Int8Tile {
  using Element = T;
  static constexpr int kLoads = 2;
  static constexpr bool kScaled = true;
  static constexpr bool kHasZeros = false;

  SIMT_DEVICE static int XColumn(int piece, int t) { return 32 * piece + 8 * t; }
  // Which steps, and which lanes, have nothing of the first or second 32 columns.
  SIMT_DEVICE static bool StepIsAbsent(int step, int half) { return step / 2 != half; }
  SIMT_DEVICE static bool LaneIsAbsent(int, int) { return false; }

  SIMT_DEVICE static void Load(const PlimsollCudaWeight& weight, int64_t tile, int64_t block,
                               bool there, uint4 (&loads)[kLoads]) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      loads[i] = simt::Load16If(there, FragmentAt(weight, tile, block * kLoads + i, 32));
    }
  }

  SIMT_DEVICE static void Fragment(const uint4 (&loads)[kLoads], int step, uint32_t, uint32_t,
                                   uint32_t (&a)[4]) {
    const int word = step % 2 * 2;
    WidenBytes(WordOf(loads[step / 2], word), a[0], a[1], T{});
    WidenBytes(WordOf(loads[step / 2], word + 1), a[2], a[3], T{});
  }
};

template <class T>
struct Int4Tile {
  using Element = T;
  static constexpr int kLoads = 1;
  static constexpr bool kScaled = true;
  static constexpr bool kHasZeros = true;
  // 1024 in fp16 and 128 in bf16: their last bits are worth 1, so a nibble there is its number.
  static constexpr uint32_t kBase = std::is_same_v<T, __half> ? 0x64006400u : 0x43004300u;

  SIMT_DEVICE static int XColumn(int piece, int t) { return 16 * t + 8 * piece; }
  SIMT_DEVICE static bool StepIsAbsent(int, int) { return false; }
  SIMT_DEVICE static bool LaneIsAbsent(int t, int half) { return t / 2 != half; }

  SIMT_DEVICE static void Load(const PlimsollCudaWeight& weight, int64_t tile, int64_t block,
                               bool there, uint4 (&loads)[kLoads]) {
    loads[0] = simt::Load16If(there, FragmentAt(weight, tile, block, kBlockColumns));
  }

  // The pair that makes a nibble at kBase its number less the zero, which is stored as 1024 + zero.
  SIMT_DEVICE static uint32_t Offset(__half stored) {
    uint32_t bits = SameBits<uint16_t>(stored);
    if constexpr (std::is_same_v<T, __nv_bfloat16>) {
      bits = SameBits<uint16_t>(Narrow<T>(__half2float(stored) - (1024.0f - 128.0f)));
    }
    return bits | (bits << 16);
  }

  // `low` and `high` are the offsets of rows g and g + 8.
  SIMT_DEVICE static void Fragment(const uint4 (&loads)[kLoads], int step, uint32_t low,
                                   uint32_t high, uint32_t (&a)[4]) {
    const uint32_t numbers = WordOf(loads[0], step);
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const uint32_t based = simt::AndOr(numbers >> (4 * r), 0x000f000fu, kBase);
      a[r] = SubtractPairs<T>(based, r % 2 == 0 ? low : high);
    }
  }
};

}  // namespace plimsoll::cuda
