#include "kvcache/admission/victim.h"

#include <algorithm>

namespace plimsoll {
namespace {

bool BetterVictim(const VictimCandidate& a, const VictimCandidate& b, Blocks wanted) {
  if (a.stops != b.stops) return a.stops < b.stops;
  const Blocks gives_a = std::min(a.given_back, wanted);
  const Blocks gives_b = std::min(b.given_back, wanted);
  if (gives_a != gives_b) return gives_a > gives_b;
  const auto cost = [](const VictimCandidate& of, const VictimCandidate& beside) {
    return static_cast<double>(of.recompute.value()) *
           static_cast<double>(beside.given_back.value());
  };
  if (cost(a, b) != cost(b, a)) return cost(a, b) < cost(b, a);
  return a.arrival > b.arrival;
}

}  // namespace

std::string_view NameOf(VictimRule rule) {
  return rule == VictimRule::kNewest ? "newest" : "cheapest";
}

std::optional<VictimRule> VictimRuleFromName(std::string_view name) {
  for (const VictimRule rule : {VictimRule::kNewest, VictimRule::kCheapest}) {
    if (NameOf(rule) == name) return rule;
  }
  return std::nullopt;
}

size_t ChooseVictim(VictimRule rule, std::span<const VictimCandidate> running, Blocks wanted) {
  PLIMSOLL_CHECK(!running.empty());
  const auto older = [](const VictimCandidate& a, const VictimCandidate& b) {
    return a.arrival < b.arrival;
  };
  const auto index = [&](auto at) { return static_cast<size_t>(at - running.begin()); };
  if (rule == VictimRule::kNewest) {
    return index(std::max_element(running.begin(), running.end(), older));
  }
  const size_t first = index(std::min_element(running.begin(), running.end(), older));
  size_t victim = first;
  for (size_t i = 0; i < running.size(); ++i) {
    if (i == first) continue;
    if (victim == first || BetterVictim(running[i], running[victim], wanted)) victim = i;
  }
  return victim;
}

}  // namespace plimsoll
