// The functions of engine/ops/simt.cuh on a CPU; what each does is told there.
//
// Sums of MultiplyAdd are taken in fp32, in order: a tensor core may round differently in the last
// bits, and PowerOfTwo likewise. Everything else is the same bit for bit.
//
// Threads, cost, errors: thread_block.h.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "tests/emulator/recording.h"
#include "tests/emulator/thread_block.h"

#define SIMT_KERNEL(...) inline void
#define SIMT_DEVICE inline

namespace plimsoll::simt {

using emulator::Site;
using emulator::ThreadBlock;

inline int ThreadX() { return ThreadBlock::Current().thread(); }
inline int ThreadsX() { return ThreadBlock::Current().shape().threads; }
inline int BlockX() { return ThreadBlock::Current().index().x; }
inline int BlockY() { return ThreadBlock::Current().index().y; }
inline int BlockZ() { return ThreadBlock::Current().index().z; }
inline int BlocksX() { return ThreadBlock::Current().shape().blocks.x; }

template <class T>
T* SharedMemory() {
  return reinterpret_cast<T*>(ThreadBlock::Current().shared());
}

inline void Synchronize(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ThreadBlock::Current().Barrier({"Synchronize", file, line});
}

namespace detail {

// What a lane brings to a shuffle, and whose value it wants.
template <class T>
struct Offer {
  T value;
  int from;
};

template <class T>
void Shuffle(const std::array<Offer<T>, 32>& in, std::array<T, 32>& out, uint32_t mask) {
  for (size_t lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    const auto from = static_cast<size_t>(in[lane].from);
    if (from >= 32 || (mask >> from & 1) == 0) {
      ThreadBlock::Current().Fail("shuffle: lane " + std::to_string(lane) + " asks lane " +
                                  std::to_string(from) + ", which is not in the mask");
    }
    out[lane] = in[from].value;
  }
}

inline void TransposeAll(const std::array<uint32_t, 32>& in, std::array<uint32_t, 32>& out,
                         uint32_t) {
  const auto element = [&](size_t row, size_t column) {
    return in[row * 4 + column / 2] >> (16 * (column & 1)) & 0xffffu;
  };
  for (size_t lane = 0; lane < 32; ++lane) {
    const size_t g = lane / 4;
    const size_t t = lane % 4;
    out[lane] = element(2 * t, g) | element(2 * t + 1, g) << 16;
  }
}

struct Fragments {
  uint32_t a[4];
  uint32_t b[2];
  float c[4];
};
struct Accumulator {
  float c[4];
};

template <class T>
float Half(uint32_t word, size_t which) {
  return static_cast<float>(std::bit_cast<T>(static_cast<uint16_t>(word >> (16 * which))));
}

template <class T>
void MultiplyAll(const std::array<Fragments, 32>& in, std::array<Accumulator, 32>& out, uint32_t) {
  float a[16][16];
  float b[16][8];
  for (size_t lane = 0; lane < 32; ++lane) {
    const size_t g = lane / 4;
    const size_t t = lane % 4;
    for (size_t pair = 0; pair < 2; ++pair) {
      const size_t k = 2 * t + pair;
      a[g][k] = Half<T>(in[lane].a[0], pair);
      a[g + 8][k] = Half<T>(in[lane].a[1], pair);
      a[g][k + 8] = Half<T>(in[lane].a[2], pair);
      a[g + 8][k + 8] = Half<T>(in[lane].a[3], pair);
      b[k][g] = Half<T>(in[lane].b[0], pair);
      b[k + 8][g] = Half<T>(in[lane].b[1], pair);
    }
  }
  for (size_t lane = 0; lane < 32; ++lane) {
    for (size_t i = 0; i < 4; ++i) {
      const size_t row = lane / 4 + i / 2 * 8;
      const size_t column = lane % 4 * 2 + i % 2;
      float sum = in[lane].c[i];
      for (size_t k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      out[lane].c[i] = sum;
    }
  }
}

template <class Words>
Words Load(const char* what, const void* from) {
  const uintptr_t past = reinterpret_cast<uintptr_t>(from) % sizeof(Words);
  if (past != 0) {
    ThreadBlock::Current().Fail(std::string(what) + ": the address is " + std::to_string(past) +
                                " past a multiple of " + std::to_string(sizeof(Words)));
  }
  Words words;
  std::memcpy(&words, from, sizeof words);
  return words;
}

inline float WithoutDenormals(float x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
}

}  // namespace detail

template <class T>
T ShuffleXor(T value, int lanes, uint32_t mask = kAllLanes, const char* file = __builtin_FILE(),
             int line = __builtin_LINE()) {
  static_assert(sizeof(T) == 4);
  return ThreadBlock::Current().Exchange<detail::Offer<T>, T>(
      mask, {"ShuffleXor", file, line}, {value, ThreadBlock::Current().lane() ^ lanes},
      &detail::Shuffle<T>);
}

template <class T>
T ShuffleFrom(T value, int lane, uint32_t mask = kAllLanes, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  static_assert(sizeof(T) == 4);
  return ThreadBlock::Current().Exchange<detail::Offer<T>, T>(mask, {"ShuffleFrom", file, line},
                                                              {value, lane}, &detail::Shuffle<T>);
}

inline uint4 Load16(const void* from) { return detail::Load<uint4>("Load16", from); }

inline uint4 Load16If(bool wanted, const void* from) {
  return wanted ? detail::Load<uint4>("Load16If", from) : uint4{0, 0, 0, 0};
}

inline uint2 Load8If(bool wanted, const void* from) {
  return wanted ? detail::Load<uint2>("Load8If", from) : uint2{0, 0};
}

inline uint32_t Load4If(bool wanted, const void* from) {
  return wanted ? detail::Load<uint32_t>("Load4If", from) : 0;
}

template <int kBytes>
void CopyAsync(bool wanted, void* shared, const void* from) {
  ThreadBlock::Current().StartCopy(shared, wanted ? from : nullptr, kBytes);
}

inline void EndCopies() { ThreadBlock::Current().EndCopies(); }

template <int kGroups>
void AwaitCopies() {
  ThreadBlock::Current().AwaitCopies(kGroups);
}

inline uint32_t PermuteBytes(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t result = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t which = selector >> (4 * i) & 7;
    result |= static_cast<uint32_t>(bytes >> (8 * which) & 0xff) << (8 * i);
  }
  return result;
}

inline uint32_t AndOr(uint32_t a, uint32_t mask, uint32_t set) { return (a & mask) | set; }

inline uint32_t SubtractHalves(uint32_t a, uint32_t b) {
  uint32_t result = 0;
  for (size_t i = 0; i < 2; ++i) {
    const __half difference = __float2half(detail::Half<__half>(a, i) - detail::Half<__half>(b, i));
    result |= static_cast<uint32_t>(std::bit_cast<uint16_t>(difference)) << (16 * i);
  }
  return result;
}

inline float PowerOfTwo(float x) {
  return detail::WithoutDenormals(std::exp2(detail::WithoutDenormals(x)));
}

inline uint32_t Transpose(uint32_t pair, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE()) {
  return ThreadBlock::Current().Exchange<uint32_t, uint32_t>(kAllLanes, {"Transpose", file, line},
                                                             pair, &detail::TransposeAll);
}

template <class T>
void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                 const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const detail::Fragments mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {c[0], c[1], c[2], c[3]}};
  const auto sum = ThreadBlock::Current().Exchange<detail::Fragments, detail::Accumulator>(
      kAllLanes, {"MultiplyAdd", file, line}, mine, &detail::MultiplyAll<T>);
  for (int i = 0; i < 4; ++i) c[i] = sum.c[i];
}

template <class... Parameters, class... Arguments>
int Launch(void (*kernel)(Parameters...), const LaunchShape& shape, Stream,
           Arguments... arguments) {
  emulator::DoOrRecord([=] {
    emulator::RunGrid(
        {{shape.blocks_x, shape.blocks_y, shape.blocks_z}, shape.threads, shape.shared_bytes},
        [&] { kernel(arguments...); });
  });
  return 0;
}

}  // namespace plimsoll::simt
