// RoPE, quantisation and append on CUDA: one warp a head, of q or of k with its v.
//
// A lane keeps pairs of neighbouring dims (2 lane, 2 lane + 1, and so on every 64), as int4 stores
// them. It reads both halves of each rotation for itself; a barrier stands between the reads and
// the writes, since one lane writes what another reads.
//
// Bits of the stored numbers are those of rotate_and_append_reference.cc for the same rotated
// values.
#pragma once

#include <cfloat>
#include <cmath>

#include "engine/ops/elements_cuda.cuh"

namespace plimsoll::cuda {

inline constexpr int kAppendWarps = 4;
inline constexpr int kAppendThreads = kAppendWarps * simt::kWarp;
inline constexpr int kPairsPerSweep = 2 * simt::kWarp;  // dims that a warp holds per register pair

// kSweeps pairs of dims of one head, of which those below head_dim mean something.
template <int kSweeps>
struct HeadPart {
  float x[kSweeps][2];
};

SIMT_DEVICE int DimOf(int sweep, int lane) { return sweep * kPairsPerSweep + 2 * lane; }

// Dim d of the rotated head, whose cosines and sines are those of its row's position.
SIMT_DEVICE float Rotated(const float* head, int d, int rotated_dims, const float* cos,
                          const float* sin) {
  const int half = rotated_dims / 2;
  if (d >= rotated_dims) return head[d];
  if (d < half) return head[d] * cos[d] - head[d + half] * sin[d];
  return head[d] * cos[d - half] + head[d - half] * sin[d - half];
}

template <int kSweeps>
SIMT_DEVICE void StoreFloats(const HeadPart<kSweeps>& part, int head_dim, float* to) {
  const int lane = simt::ThreadX() % simt::kWarp;
#pragma unroll
  for (int s = 0; s < kSweeps; ++s) {
    const int d = DimOf(s, lane);
    if (d >= head_dim) continue;
    to[d] = part.x[s][0];
    to[d + 1] = part.x[s][1];
  }
}

// The least (sign -1) or the largest (sign 1) of the head, in every lane.
template <int kSweeps>
SIMT_DEVICE float Extreme(const HeadPart<kSweeps>& part, int head_dim, float sign) {
  const int lane = simt::ThreadX() % simt::kWarp;
  float most = -INFINITY;
#pragma unroll
  for (int s = 0; s < kSweeps; ++s) {
    if (DimOf(s, lane) >= head_dim) continue;
    most = fmaxf(most, fmaxf(sign * part.x[s][0], sign * part.x[s][1]));
  }
  for (int lanes = simt::kWarp / 2; lanes > 0; lanes /= 2) {
    most = fmaxf(most, simt::ShuffleXor(most, lanes));
  }
  return sign * most;
}

// A quantised row's word (kv_row.h).
struct CudaRowWord {
  __half scale;
  __half zero;
};

inline constexpr int64_t kRowWordBytes = static_cast<int64_t>(sizeof(CudaRowWord));

SIMT_DEVICE __half HalfBelowInfinity(float x) {
  constexpr float kLargest = 65504.0f;
  return __float2half(fminf(fmaxf(x, -kLargest), kLargest));
}

SIMT_DEVICE bool IsFinite(float x) { return fabsf(x) <= FLT_MAX; }

// Of a head that is not finite throughout, NaN: fminf and fmaxf pass over one.
template <int kSweeps>
SIMT_DEVICE CudaRowWord WordOf(const HeadPart<kSweeps>& part, int head_dim, float largest_number) {
  const float smallest = Extreme(part, head_dim, -1.0f);
  const float largest = Extreme(part, head_dim, 1.0f);
  const int lane = simt::ThreadX() % simt::kWarp;
  float not_finite = 0;
#pragma unroll
  for (int s = 0; s < kSweeps; ++s) {
    if (DimOf(s, lane) >= head_dim) continue;
    if (!IsFinite(part.x[s][0]) || !IsFinite(part.x[s][1])) not_finite = 1;
  }
  for (int lanes = simt::kWarp / 2; lanes > 0; lanes /= 2) {
    not_finite = fmaxf(not_finite, simt::ShuffleXor(not_finite, lanes));
  }
  if (not_finite > 0) return {__float2half(NAN), __float2half(NAN)};
  return {HalfBelowInfinity((largest - smallest) / largest_number), HalfBelowInfinity(smallest)};
}

SIMT_DEVICE uint32_t NumberOf(float x, float scale, float zero, float largest_number) {
  if (!(scale > 0)) return 0;
  return static_cast<uint32_t>(fminf(fmaxf(rintf((x - zero) / scale), 0.0f), largest_number));
}

// int8 and int4: kBits a number.
template <int kBits, int kSweeps>
SIMT_DEVICE void StoreNumbers(const HeadPart<kSweeps>& part, int head_dim, unsigned char* row,
                              unsigned char* word) {
  constexpr float kLargest = (1 << kBits) - 1;
  const int lane = simt::ThreadX() % simt::kWarp;
  const CudaRowWord chosen = WordOf(part, head_dim, kLargest);
  const float scale = __half2float(chosen.scale);
  const float zero = __half2float(chosen.zero);
  if (lane == 0) *reinterpret_cast<CudaRowWord*>(word) = chosen;
#pragma unroll
  for (int s = 0; s < kSweeps; ++s) {
    const int d = DimOf(s, lane);
    if (d >= head_dim) continue;
    const uint32_t even = NumberOf(part.x[s][0], scale, zero, kLargest);
    const uint32_t odd = NumberOf(part.x[s][1], scale, zero, kLargest);
    if constexpr (kBits == 4) {
      row[d / 2] = static_cast<unsigned char>(even | (odd << 4));
    } else {
      row[d] = static_cast<unsigned char>(even);
      row[d + 1] = static_cast<unsigned char>(odd);
    }
  }
}

template <class T, int kSweeps>
SIMT_DEVICE void StoreNarrowed(const HeadPart<kSweeps>& part, int head_dim, unsigned char* row) {
  const int lane = simt::ThreadX() % simt::kWarp;
#pragma unroll
  for (int s = 0; s < kSweeps; ++s) {
    const int d = DimOf(s, lane);
    if (d >= head_dim) continue;
    reinterpret_cast<T*>(row)[d] = Narrow<T>(part.x[s][0]);
    reinterpret_cast<T*>(row)[d + 1] = Narrow<T>(part.x[s][1]);
  }
}

template <int kSweeps>
SIMT_DEVICE void StoreE4m3(const HeadPart<kSweeps>& part, int head_dim, unsigned char* row) {
  const int lane = simt::ThreadX() % simt::kWarp;
#pragma unroll
  for (int s = 0; s < kSweeps; ++s) {
    const int d = DimOf(s, lane);
    if (d >= head_dim) continue;
    row[d] = __nv_cvt_float_to_fp8(part.x[s][0], __NV_SATFINITE, __NV_E4M3);
    row[d + 1] = __nv_cvt_float_to_fp8(part.x[s][1], __NV_SATFINITE, __NV_E4M3);
  }
}

template <int kSweeps>
SIMT_DEVICE void StoreRow(const PlimsollCudaCache& cache, const HeadPart<kSweeps>& part,
                          unsigned char* row, unsigned char* word) {
  switch (cache.type) {
    case PLIMSOLL_CUDA_FP16:
      return StoreNarrowed<__half>(part, cache.head_dim, row);
    case PLIMSOLL_CUDA_BF16:
      return StoreNarrowed<__nv_bfloat16>(part, cache.head_dim, row);
    case PLIMSOLL_CUDA_FP8:
      return StoreE4m3(part, cache.head_dim, row);
    case PLIMSOLL_CUDA_INT8:
      return StoreNumbers<8>(part, cache.head_dim, row, word);
    default:
      return StoreNumbers<4>(part, cache.head_dim, row, word);
  }
}

// Head `head` of q, or head `head - heads` of k and v. Blocks: [rows, ceil(all heads / warps)].
template <int kSweeps>
SIMT_KERNEL(kAppendThreads)
RotateAndAppendHeads(PlimsollCudaAppend args) {
  const PlimsollCudaCache& cache = args.cache;
  const int lane = simt::ThreadX() % simt::kWarp;
  const int64_t row = simt::BlockX();
  const int64_t all_heads = args.heads + cache.kv_heads;
  const int64_t head = simt::BlockY() * kAppendWarps + simt::ThreadX() / simt::kWarp;
  const bool is_q = head < args.heads;
  const int64_t kv_row = row * cache.kv_heads + (head - args.heads);
  float* const x =
      is_q ? args.q + (row * args.heads + head) * cache.head_dim : args.k + kv_row * cache.head_dim;
  const PlimsollCudaRow place = args.places[row];
  if (place.table == nullptr) return;
  const int rotated_dims = static_cast<int>(args.rotated_dims);
  const int64_t angles = place.position * (rotated_dims / 2);
  HeadPart<kSweeps> part = {};
  if (head < all_heads) {
#pragma unroll
    for (int s = 0; s < kSweeps; ++s) {
      for (int i = 0; i < 2; ++i) {
        const int d = DimOf(s, lane) + i;
        if (d >= cache.head_dim) continue;
        part.x[s][i] = Rotated(x, d, rotated_dims, args.cos + angles, args.sin + angles);
      }
    }
  }
  simt::Synchronize();  // nobody writes what another has yet to read
  if (head >= all_heads) return;
  StoreFloats(part, cache.head_dim, x);
  if (is_q) return;
  const int64_t kv_head = head - args.heads;
  const int64_t block = place.table[place.position >> cache.block_tokens_log2];
  const int64_t block_tokens = int64_t{1} << cache.block_tokens_log2;
  const int64_t slot = place.position & (block_tokens - 1);
  unsigned char* const base = cache.pool + block * cache.block_bytes;
  unsigned char* const k_row =
      base + cache.layer_offset + kv_head * cache.head_bytes + slot * cache.row_bytes;
  unsigned char* const k_word =
      base + cache.scales_offset + (kv_head * 2 * block_tokens + slot) * kRowWordBytes;
  StoreRow(cache, part, k_row, k_word);
  const float* const v = args.v + kv_row * cache.head_dim;
#pragma unroll
  for (int s = 0; s < kSweeps; ++s) {
    const int d = DimOf(s, lane);
    if (d >= cache.head_dim) continue;
    part.x[s][0] = v[d];
    part.x[s][1] = v[d + 1];
  }
  StoreRow(cache, part, k_row + cache.kv_bytes, k_word + block_tokens * kRowWordBytes);
}

// Of an even head_dim up to 256, and a cache of 16 bits or less a number.
inline int LaunchRotateAndAppend(const PlimsollCudaAppend& args, simt::Stream stream) {
  const PlimsollCudaCache& cache = args.cache;
  if (args.rows == 0) return 0;
  if (cache.type < PLIMSOLL_CUDA_FP16 || cache.head_dim % 2 != 0) return kNoKernel;
  const int64_t all_heads = args.heads + cache.kv_heads;
  const simt::LaunchShape shape = {
      .blocks_x = static_cast<int>(args.rows),
      .blocks_y = static_cast<int>((all_heads + kAppendWarps - 1) / kAppendWarps),
      .threads = kAppendThreads};
  if (cache.head_dim <= kPairsPerSweep) {
    return simt::Launch(&RotateAndAppendHeads<1>, shape, stream, args);
  }
  if (cache.head_dim <= 2 * kPairsPerSweep) {
    return simt::Launch(&RotateAndAppendHeads<2>, shape, stream, args);
  }
  if (cache.head_dim <= 4 * kPairsPerSweep) {
    return simt::Launch(&RotateAndAppendHeads<4>, shape, stream, args);
  }
  return kNoKernel;
}

}  // namespace plimsoll::cuda
