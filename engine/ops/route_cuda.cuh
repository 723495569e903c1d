// Routing on CUDA: one warp chooses a row's experts, one after the other, and weighs them.
//
// The next choice is the expert that comes first, by falling logit and then by number, among those
// that come after the last choice: nothing has to be remembered but that one.
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/ops/elements_cuda.cuh"

namespace plimsoll::cuda {

inline constexpr int kRouteWarps = 4;
inline constexpr int kRouteThreads = kRouteWarps * simt::kWarp;

// An expert in the order in which they are chosen.
struct RankedExpert {
  float logit;
  int32_t expert;
};

SIMT_DEVICE bool ComesBefore(const RankedExpert& a, const RankedExpert& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.expert < b.expert);
}

// A logit that is no number is the least.
SIMT_DEVICE RankedExpert RankOf(const float* logits, int32_t expert) {
  const float logit = logits[expert];
  return {logit == logit ? logit : -INFINITY, expert};
}

// The first after `last`, for all lanes.
SIMT_DEVICE RankedExpert NextExpert(const float* logits, int32_t experts,
                                    const RankedExpert& last) {
  RankedExpert first = {-INFINITY, INT32_MAX};
  for (int32_t e = simt::ThreadX() % simt::kWarp; e < experts; e += simt::kWarp) {
    const RankedExpert ranked = RankOf(logits, e);
    if (ComesBefore(last, ranked) && ComesBefore(ranked, first)) first = ranked;
  }
  for (int lanes = simt::kWarp / 2; lanes > 0; lanes /= 2) {
    const RankedExpert other = {simt::ShuffleXor(first.logit, lanes),
                                simt::ShuffleXor(first.expert, lanes)};
    if (ComesBefore(other, first)) first = other;
  }
  return first;
}

SIMT_DEVICE float SumOfWeights(const float* logits, int32_t experts, float largest) {
  float sum = 0;
  for (int32_t e = simt::ThreadX() % simt::kWarp; e < experts; e += simt::kWarp) {
    sum += expf(logits[e] - largest);
  }
  for (int lanes = simt::kWarp / 2; lanes > 0; lanes /= 2) sum += simt::ShuffleXor(sum, lanes);
  return sum;
}

SIMT_KERNEL(kRouteThreads)
RouteRow(PlimsollCudaRoute args) {
  const int64_t row =
      static_cast<int64_t>(simt::BlockX()) * kRouteWarps + simt::ThreadX() / simt::kWarp;
  if (row >= args.rows) return;  // a whole warp
  const bool writes = simt::ThreadX() % simt::kWarp == 0;
  const float* const logits = args.logits + row * args.experts;
  const int64_t first = row * (args.active + (args.shared != nullptr ? 1 : 0));
  RankedExpert last = {INFINITY, -1};
  float largest = 0;
  float chosen_sum = 0;
  for (int i = 0; i < args.active; ++i) {
    last = NextExpert(logits, args.experts, last);
    const float logit = logits[last.expert];
    if (i == 0) largest = logit;
    const float weight = expf(logit - largest);
    chosen_sum += weight;
    if (!writes) continue;
    args.chosen[first + i] = last.expert;
    args.shares[first + i] = weight;
  }
  const float sum =
      args.renormalise != 0 ? chosen_sum : SumOfWeights(logits, args.experts, largest);
  if (!writes) return;
  for (int i = 0; i < args.active; ++i) args.shares[first + i] /= sum;
  if (args.shared == nullptr) return;
  args.chosen[first + args.active] = args.experts;
  args.shares[first + args.active] = 1.0f / (1.0f + expf(-args.shared[row]));
}

}  // namespace plimsoll::cuda
