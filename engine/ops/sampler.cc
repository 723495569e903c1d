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

// Uniform in [0, 1).
double Uniform(uint64_t seed, uint64_t step) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;
  const uint64_t bits = Mix(Mix(seed + kGolden) + (step + 1) * kGolden);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

bool MoreLikely(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

int32_t FirstLargest(std::span<const float> logits) {
  int64_t best = -1;
  for (int64_t i = 0; i < std::ssize(logits); ++i) {
    const float logit = logits[static_cast<size_t>(i)];
    if (std::isnan(logit)) continue;
    if (best < 0 || logit > logits[static_cast<size_t>(best)]) best = i;
  }
  PLIMSOLL_CHECK(best >= 0, "no logit is a number, of", logits.size());
  return static_cast<int32_t>(best);
}

// Candidates in order of token, weighed so that the largest logit weighs 1. What weighs nothing, a
// NaN above all, is no candidate.
void Weigh(std::span<const float> logits, double peak, double temperature,
           std::vector<Candidate>& candidates) {
  candidates.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp((double{logits[i]} - peak) / temperature);
    if (weight > 0) candidates.push_back({static_cast<int32_t>(i), logits[i], weight});
  }
}

double TotalWeight(const std::vector<Candidate>& candidates) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  return total;
}

// Leaves the `count` most likely, most likely first.
void KeepTop(std::vector<Candidate>& candidates, int64_t count) {
  const int64_t kept = std::min<int64_t>(count, std::ssize(candidates));
  std::partial_sort(candidates.begin(), candidates.begin() + kept, candidates.end(), MoreLikely);
  candidates.resize(static_cast<size_t>(kept));
}

// Leaves the fewest of the most likely that hold `share` of the weight, most likely first.
void KeepNucleus(std::vector<Candidate>& candidates, double share) {
  const double total = TotalWeight(candidates);
  // Whatever weighs less than an equal part of the rest cannot be needed: all of that together
  // weighs less than what may be left out. What remains is short, so sorting it is cheap.
  const double least = (1.0 - share) * total / static_cast<double>(candidates.size());
  std::erase_if(candidates, [&](const Candidate& c) { return c.weight < least; });
  std::sort(candidates.begin(), candidates.end(), MoreLikely);
  double sum = 0;
  size_t kept = 0;
  while (kept < candidates.size() && sum < share * total) sum += candidates[kept++].weight;
  candidates.resize(std::max<size_t>(kept, 1));
}

int32_t Draw(const std::vector<Candidate>& candidates, double uniform) {
  double left = uniform * TotalWeight(candidates);
  for (const Candidate& candidate : candidates) {
    left -= candidate.weight;
    if (left < 0) return candidate.token;
  }
  return candidates.back().token;  // rounding kept the sum just short of the total
}

}  // namespace

int32_t SampleToken(std::span<const float> logits, const Sampling& sampling,
                    std::vector<Candidate>& scratch) {
  PLIMSOLL_CHECK(sampling.temperature >= 0 && sampling.top_k >= 0, sampling.temperature,
                 sampling.top_k);
  PLIMSOLL_CHECK(sampling.top_p > 0 && sampling.top_p <= 1, sampling.top_p);
  const int32_t best = FirstLargest(logits);
  const double peak = logits[static_cast<size_t>(best)];
  if (sampling.temperature == 0 || !std::isfinite(peak)) return best;
  Weigh(logits, peak, sampling.temperature, scratch);
  if (sampling.top_k > 0) KeepTop(scratch, sampling.top_k);
  if (sampling.top_p < 1) KeepNucleus(scratch, sampling.top_p);
  return Draw(scratch, Uniform(sampling.seed, sampling.step));
}

}  // namespace plimsoll
