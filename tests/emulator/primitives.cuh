// Each primitive of simt.cuh, applied by one warp to words in memory: so that the emulator and a
// GPU can be given the same words.
//
// Lane i reads words [8 i, 8 i + 8) and writes words [4 i, 4 i + 4), zeros where it has fewer:
//
//   kLoad16          out = 16 bytes at word 4 (w0 mod 64) of the whole input
//   kLoad16If        the same where w1 is odd
//   kLoad8If         out0, out1 = 8 bytes there, where w1 is odd
//   kLoad4If         out0 = 4 bytes there, where w1 is odd
//   kCopy16, 8, 4    the same as kLoad16If, kLoad8If, kLoad4If, by way of shared memory
//   kShuffleXor      out0 = w0 of the lane that differs in the bits of 1, out1 in 2, ... out3 in 8
//   kShuffleFrom     out0 = w0 of lane w1 mod 32
//   kPermuteBytes    out0 = PermuteBytes(w0, w1, w2)
//   kAndOr           out0 = AndOr(w0, w1, w2)
//   kSubtractHalves  out0 = SubtractHalves(w0, w1)
//   kPowerOfTwo      out0 = PowerOfTwo(w0 as float)
//   kTranspose       out0 = Transpose(w0)
//   kMultiply...     out = a B + c, with a = w0..w3, b = w4, w5, and c = {w6 as float, -that, 1, 0}
//
// Threads: one warp. Cost: nothing. Errors: none.
#pragma once

#include <cstring>

#include "engine/ops/simt.cuh"

namespace plimsoll {

enum class Primitive {
  kLoad16,
  kLoad16If,
  kLoad8If,
  kLoad4If,
  kCopy16,
  kCopy8,
  kCopy4,
  kShuffleXor,
  kShuffleFrom,
  kPermuteBytes,
  kAndOr,
  kSubtractHalves,
  kPowerOfTwo,
  kTranspose,
  kMultiplyFp16,
  kMultiplyBf16,
};

inline constexpr int kPrimitiveWordsIn = 8 * 32;
inline constexpr int kPrimitiveWordsOut = 4 * 32;
inline constexpr int kPrimitiveSharedBytes = 2 * 16 * 32;

SIMT_DEVICE float FloatOf(uint32_t word) {
  float value;
  memcpy(&value, &word, sizeof value);
  return value;
}

SIMT_DEVICE uint32_t WordOf(float value) {
  uint32_t word;
  memcpy(&word, &value, sizeof word);
  return word;
}

template <class T>
SIMT_DEVICE void ApplyMultiply(const uint32_t* w, uint32_t* out) {
  const uint32_t a[4] = {w[0], w[1], w[2], w[3]};
  const uint32_t b[2] = {w[4], w[5]};
  float c[4] = {FloatOf(w[6]), -FloatOf(w[6]), 1, 0};
  simt::MultiplyAdd<T>(c, a, b);
  for (int i = 0; i < 4; ++i) out[i] = WordOf(c[i]);
}

SIMT_DEVICE void Store(const uint4& loaded, uint32_t* out) {
  out[0] = loaded.x;
  out[1] = loaded.y;
  out[2] = loaded.z;
  out[3] = loaded.w;
}

SIMT_DEVICE void ApplyLoad(Primitive primitive, bool wanted, const uint32_t* from, uint32_t* out) {
  switch (primitive) {
    case Primitive::kLoad16:
      return Store(simt::Load16(from), out);
    case Primitive::kLoad16If:
      return Store(simt::Load16If(wanted, from), out);
    case Primitive::kLoad8If: {
      const uint2 loaded = simt::Load8If(wanted, from);
      return Store({loaded.x, loaded.y, 0, 0}, out);
    }
    default:
      return Store({simt::Load4If(wanted, from), 0, 0, 0}, out);
  }
}

// Behind another copy, of which more must be awaited than the last group.
template <int kBytes>
SIMT_DEVICE void ApplyCopy(bool wanted, const uint32_t* from, uint32_t* out) {
  uint32_t* const shared = simt::SharedMemory<uint32_t>() + 8 * simt::ThreadX();
  for (int i = 0; i < 8; ++i) shared[i] = 0;
  simt::CopyAsync<kBytes>(wanted, shared, from);
  simt::EndCopies();
  simt::CopyAsync<kBytes>(wanted, shared + 4, from);
  simt::EndCopies();
  simt::AwaitCopies<1>();
  for (int i = 0; i < 4; ++i) out[i] = shared[i];
  simt::AwaitCopies<0>();
  for (int i = 0; i < 4; ++i) out[i] |= shared[4 + i];
}

template <class Words>
SIMT_KERNEL(32, 1)
ApplyPrimitive(Primitive primitive, const Words* in, Words* all_out) {
  const Words* const w = in + 8 * simt::ThreadX();
  Words* const out = all_out + 4 * simt::ThreadX();
  for (int i = 0; i < 4; ++i) out[i] = 0;
  switch (primitive) {
    case Primitive::kLoad16:
    case Primitive::kLoad16If:
    case Primitive::kLoad8If:
    case Primitive::kLoad4If:
      return ApplyLoad(primitive, w[1] % 2 == 1, in + 4 * (w[0] % 64), out);
    case Primitive::kCopy16:
      return ApplyCopy<16>(w[1] % 2 == 1, in + 4 * (w[0] % 64), out);
    case Primitive::kCopy8:
      return ApplyCopy<8>(w[1] % 2 == 1, in + 4 * (w[0] % 64), out);
    case Primitive::kCopy4:
      return ApplyCopy<4>(w[1] % 2 == 1, in + 4 * (w[0] % 64), out);
    case Primitive::kShuffleXor:
      for (int i = 0; i < 4; ++i) out[i] = simt::ShuffleXor(w[0], 1 << i);
      break;
    case Primitive::kShuffleFrom:
      out[0] = simt::ShuffleFrom(w[0], static_cast<int>(w[1] % 32));
      break;
    case Primitive::kPermuteBytes:
      out[0] = simt::PermuteBytes(w[0], w[1], w[2]);
      break;
    case Primitive::kAndOr:
      out[0] = simt::AndOr(w[0], w[1], w[2]);
      break;
    case Primitive::kSubtractHalves:
      out[0] = simt::SubtractHalves(w[0], w[1]);
      break;
    case Primitive::kPowerOfTwo:
      out[0] = WordOf(simt::PowerOfTwo(FloatOf(w[0])));
      break;
    case Primitive::kTranspose:
      out[0] = simt::Transpose(w[0]);
      break;
    case Primitive::kMultiplyFp16:
      return ApplyMultiply<__half>(w, out);
    case Primitive::kMultiplyBf16:
      return ApplyMultiply<__nv_bfloat16>(w, out);
  }
}

}  // namespace plimsoll
