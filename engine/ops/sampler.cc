#include "engine/ops/sampler.h"

#include <algorithm>
#include <cmath>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

// SplitMix64's output function: every bit of the result depends on every bit of x.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t RandomBits(uint64_t seed, uint64_t step) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;
  return Mix(Mix(seed + kGolden) + (step + 1) * kGolden);
}

// Within bounds where neither a denormal number nor an infinity can be part of a product that
// matters, since machines differ in what they make of them.
float RateOf(double temperature) {
  constexpr double kLog2E = 1.4426950408889634;
  return static_cast<float>(std::clamp(kLog2E / temperature, 0x1p-100, 0x1p100));
}

bool MoreLikely(const Candidate& a, const Candidate& b) {
  return a.order != b.order ? a.order > b.order : a.token < b.token;
}

// The first of the largest, in order of OrderOf.
Candidate Best(std::span<const float> logits) {
  Candidate best = {.order = 0, .token = kNoToken, .weight = 0};
  for (size_t i = 0; i < logits.size(); ++i) {
    const uint32_t order = OrderOf(logits[i]);
    if (order > best.order) best = {order, static_cast<int32_t>(i), 0};
  }
  return best;
}

// In order of token. What weighs nothing is no candidate.
void Weigh(std::span<const float> logits, float peak, float rate,
           std::vector<Candidate>& candidates) {
  candidates.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    const uint64_t weight = WeightOf(logits[i], peak, rate);
    if (weight > 0) candidates.push_back({OrderOf(logits[i]), static_cast<int32_t>(i), weight});
  }
}

uint64_t TotalWeight(const std::vector<Candidate>& candidates) {
  uint64_t total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  return total;
}

// Leaves the `count` most likely, in any order.
void KeepTop(std::vector<Candidate>& candidates, size_t count) {
  if (count >= candidates.size()) return;
  std::nth_element(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(count),
                   candidates.end(), MoreLikely);
  candidates.resize(count);
}

// Leaves the fewest of the most likely that hold `share` of the weight, in any order.
void KeepNucleus(std::vector<Candidate>& candidates, uint64_t share) {
  const uint64_t total = TotalWeight(candidates);
  const uint64_t wanted = NucleusWeight(total, share);
  // Whatever weighs less than an equal part of the rest cannot be needed: all of that together
  // weighs less than what may be left out. What remains is short, so sorting it is cheap.
  const uint64_t least = (total - wanted) / candidates.size();
  std::erase_if(candidates, [&](const Candidate& c) { return c.weight < least; });
  std::sort(candidates.begin(), candidates.end(), MoreLikely);
  uint64_t sum = 0;
  size_t kept = 0;
  while (sum < wanted) sum += candidates[kept++].weight;
  candidates.resize(kept);
}

void SortByToken(std::vector<Candidate>& candidates) {
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
}

// Of candidates in order of token.
int32_t TokenAt(const std::vector<Candidate>& candidates, uint64_t place) {
  size_t at = 0;
  while (place >= candidates[at].weight) place -= candidates[at++].weight;
  return candidates[at].token;
}

}  // namespace

Draw DrawOf(const Sampling& sampling) {
  PLIMSOLL_CHECK(sampling.temperature >= 0 && sampling.top_k >= 0, sampling.temperature,
                 sampling.top_k);
  PLIMSOLL_CHECK(sampling.top_p > 0 && sampling.top_p <= 1, sampling.top_p);
  return {.rate = sampling.temperature == 0 ? 0 : RateOf(sampling.temperature),
          .top_k = static_cast<uint32_t>(std::min(sampling.top_k, kVocabMost)),
          .share = static_cast<uint64_t>(std::ceil(sampling.top_p * 0x1p32)),
          .random = RandomBits(sampling.seed, sampling.step)};
}

int32_t SampleToken(std::span<const float> logits, const Draw& draw,
                    std::vector<Candidate>& scratch) {
  PLIMSOLL_CHECK(!logits.empty() && std::ssize(logits) <= kVocabMost, logits.size());
  const Candidate best = Best(logits);
  if (draw.rate == 0 || !IsOrderOfFinite(best.order)) return best.token;
  Weigh(logits, LogitOf(best.order), draw.rate, scratch);
  if (draw.top_k > 0) KeepTop(scratch, draw.top_k);
  if (draw.share < kWholeShare) KeepNucleus(scratch, draw.share);
  if (draw.top_k > 0 || draw.share < kWholeShare) SortByToken(scratch);
  return TokenAt(scratch, PlaceOf(draw, TotalWeight(scratch)));
}

}  // namespace plimsoll
