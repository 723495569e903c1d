#include <algorithm>
#include <vector>

#include "engine/ops/arguments.h"
#include "engine/ops/reference.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {
namespace {

struct Weighed {
  uint32_t order;
  int64_t token;
  uint64_t weight;
};

// All tokens but those of NaN, the most likely first.
std::vector<Weighed> Sorted(const float* logits, int64_t vocab) {
  std::vector<Weighed> tokens;
  for (int64_t i = 0; i < vocab; ++i) {
    if (OrderOf(logits[i]) != 0) tokens.push_back({OrderOf(logits[i]), i, 0});
  }
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const Weighed& a, const Weighed& b) { return a.order > b.order; });
  return tokens;
}

uint64_t Total(const std::vector<Weighed>& tokens) {
  uint64_t total = 0;
  for (const Weighed& each : tokens) total += each.weight;
  return total;
}

void Keep(std::vector<Weighed>& tokens, const Draw& draw) {
  if (draw.top_k > 0) tokens.resize(std::min<size_t>(tokens.size(), draw.top_k));
  if (draw.share == kWholeShare) return;
  const uint64_t wanted = NucleusWeight(Total(tokens), draw.share);
  size_t kept = 0;
  for (uint64_t sum = 0; sum < wanted; ++kept) sum += tokens[kept].weight;
  tokens.resize(kept);
}

int32_t Sampled(const float* logits, int64_t vocab, const Draw& draw) {
  std::vector<Weighed> tokens = Sorted(logits, vocab);
  if (tokens.empty()) return kNoToken;
  const Weighed best = tokens.front();
  if (draw.rate == 0 || !IsOrderOfFinite(best.order)) return static_cast<int32_t>(best.token);
  for (Weighed& each : tokens) {
    each.weight = WeightOf(LogitOf(each.order), LogitOf(best.order), draw.rate);
  }
  Keep(tokens, draw);
  std::sort(tokens.begin(), tokens.end(),
            [](const Weighed& a, const Weighed& b) { return a.token < b.token; });
  uint64_t left = PlaceOf(draw, Total(tokens));
  size_t at = 0;
  while (left >= tokens[at].weight) left -= tokens[at++].weight;
  return static_cast<int32_t>(tokens[at].token);
}

}  // namespace

absl::Status Sample(const SampleArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  for (int64_t r = 0; r < args.rows; ++r) {
    args.tokens[r] = Sampled(args.logits + r * args.vocab, args.vocab, args.draws[r]);
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
