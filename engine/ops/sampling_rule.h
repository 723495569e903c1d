// The rule by which a token is drawn from logits, for every device: what each logit weighs, in
// which order tokens are kept, where a draw falls.
//
// Weights are whole numbers, so that sums of them do not depend on the order of addition, and
// floats are only subtracted, multiplied and cut off, each rounded as IEEE says. So all machines
// draw the same token from the same logits.
//
//   weight = 2^40 * 2^-((peak - logit) * rate), where rate = log2(e) / temperature
//
// to eight digits of 2^40 at the most; nothing below 1 weighs anything, nor does a NaN.
//
// Threads: pure. Cost: some ten instructions. Errors: none.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/ops/cuda_arguments.h"

#ifdef __CUDACC__
#define PLIMSOLL_ON_ANY_DEVICE __host__ __device__ inline
#else
#define PLIMSOLL_ON_ANY_DEVICE inline
#endif

namespace plimsoll {

// How one token is drawn; made by DrawOf (sampler.h).
using Draw = PlimsollCudaDraw;

inline constexpr int64_t kVocabMost = int64_t{1} << 22;  // that weights may be summed over
inline constexpr int32_t kNoToken = -1;                  // what a row of NaN gives
inline constexpr uint64_t kWholeShare = uint64_t{1} << 32;

// The larger the logit, the larger the order; the two zeros are equal, a NaN has 0.
PLIMSOLL_ON_ANY_DEVICE uint32_t OrderOf(float logit) {
  constexpr uint32_t kSign = 0x80000000, kInfinity = 0x7f800000;
  uint32_t bits = 0;
  std::memcpy(&bits, &logit, sizeof bits);
  if ((bits & ~kSign) > kInfinity) return 0;
  if (bits == kSign) return kSign;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

PLIMSOLL_ON_ANY_DEVICE float LogitOf(uint32_t order) {
  constexpr uint32_t kSign = 0x80000000;
  const uint32_t bits = (order & kSign) != 0 ? order & ~kSign : ~order;
  float logit = 0;
  std::memcpy(&logit, &bits, sizeof logit);
  return logit;
}

PLIMSOLL_ON_ANY_DEVICE bool IsOrderOfFinite(uint32_t order) {
  constexpr uint32_t kLeast = 0x007fffff, kLargest = 0xff800000;  // the infinities'
  return order > kLeast && order < kLargest;
}

// x / 2^24 * v
PLIMSOLL_ON_ANY_DEVICE uint32_t ScaleBy24(uint32_t x, uint32_t v) {
  return static_cast<uint32_t>(static_cast<uint64_t>(x) * v >> 24);
}

// 2^32 * 2^-(x / 2^24), x below 2^24: a polynomial through six Chebyshev points, to 1.1e-8.
PLIMSOLL_ON_ANY_DEVICE uint64_t NegativePowerOfTwo(uint32_t x) {
  uint32_t v = 5547538u - ScaleBy24(x, 493577u);
  v = 41218952u - ScaleBy24(x, v);
  v = 238367376u - ScaleBy24(x, v);
  v = 1031763206u - ScaleBy24(x, v);
  v = 2977044447u - ScaleBy24(x, v);
  return (uint64_t{1} << 32) - ScaleBy24(x, v);
}

// Of a logit no larger than `peak`, which is finite.
PLIMSOLL_ON_ANY_DEVICE uint64_t WeightOf(float logit, float peak, float rate) {
  constexpr float kMostHalvings = 40;
  const float halvings = (peak - logit) * rate;
  if (!(halvings < kMostHalvings)) return 0;  // of a NaN too
  const auto fixed = static_cast<uint32_t>(halvings * 16777216.0f);
  return NegativePowerOfTwo(fixed & 0xffffff) << 8 >> (fixed >> 24);
}

// floor(a * b / 2^64)
PLIMSOLL_ON_ANY_DEVICE uint64_t MultiplyHigh(uint64_t a, uint64_t b) {
  constexpr uint64_t kLow = 0xffffffff;
  const uint64_t low = (a & kLow) * (b & kLow);
  const uint64_t middle = (a >> 32) * (b & kLow) + (low >> 32);
  const uint64_t other = (a & kLow) * (b >> 32) + (middle & kLow);
  return (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
}

// What the most likely tokens have to weigh together to hold `share` of `total`, > 0.
PLIMSOLL_ON_ANY_DEVICE uint64_t NucleusWeight(uint64_t total, uint64_t share) {
  const uint64_t part = MultiplyHigh(total << 1, share << 31);
  return part > 0 ? part : 1;
}

// Where a draw falls: tokens in order lie end to end, each as long as it weighs, on [0, total).
PLIMSOLL_ON_ANY_DEVICE uint64_t PlaceOf(const Draw& draw, uint64_t total) {
  return MultiplyHigh(draw.random, total);
}

}  // namespace plimsoll
