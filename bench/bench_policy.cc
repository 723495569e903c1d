// A decision to let a request start, with many running, beside a forecast that looks at each of
// them. Answers are compared before anything is timed.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kvcache/admission/growth_forecast.h"
#include "kvcache/admission/quantile_policy.h"

namespace plimsoll {
namespace {

constexpr Tokens kBlockTokens(16);

std::vector<Demand> Requests(int64_t n) {
  std::mt19937 random(1);
  std::vector<Demand> requests;
  for (int64_t i = 0; i < n; ++i) {
    const auto generated = static_cast<int64_t>(random() % 400);
    requests.push_back({.prompt = Tokens(static_cast<int64_t>(16 + random() % 4000)),
                        .max_new = Tokens(1000),
                        .generated = Tokens(generated)});
  }
  return requests;
}

// Full but for what a request or two more need.
Blocks PoolFor(const std::vector<Demand>& running) {
  Tokens length;
  for (const Demand& request : running) length += request.length();
  return BlocksCovering(length + Tokens(length.value() / 50), kBlockTokens);
}

// The same question to every request, each time; nothing was learned yet.
bool FitsByScan(const std::vector<Demand>& running, const Demand& more, double room,
                double deviations) {
  const OutputLengths lengths({});
  for (size_t k = 0; k < OutputLengths::kHorizons.size(); ++k) {
    double most = 0, gone = 0, variance = 0;
    const auto add = [&](const Demand& request) {
      const double need = static_cast<double>(request.length().value()) +
                          static_cast<double>(kBlockTokens.value()) / 2 +
                          static_cast<double>(OutputLengths::kHorizons[k]);
      const double there = lengths.Survivors(OutputLengths::BinOf(request.generated.value()))[k];
      most += need;
      gone += (1 - there) * need;
      variance += there * (1 - there) * need * need;
    };
    for (const Demand& request : running) add(request);
    add(more);
    if (most - std::max(0.0, gone - deviations * std::sqrt(variance)) > room) return false;
  }
  return true;
}

// Whether to start, a start where the answer is yes, and an end for each start.
void BM_Decide(benchmark::State& state) {
  const std::vector<Demand> running = Requests(state.range(0));
  const Blocks blocks = PoolFor(running);
  QuantilePolicy policy(0.01, blocks, kBlockTokens);
  for (const Demand& request : running) policy.Started(request);
  policy.Stepped(false);
  const std::vector<Demand> asking = Requests(64);
  for (const Demand& request : asking) {
    const double room = static_cast<double>((blocks.value() * kBlockTokens).value());
    if (policy.MayStart(request, blocks) !=
        FitsByScan(running, request, room, policy.deviations())) {
      return state.SkipWithError("wrong answer");
    }
  }
  size_t next = 0;
  for (auto _ : state) {
    const Demand& request = asking[next++ % asking.size()];
    if (policy.MayStart(request, blocks)) policy.Preempted(policy.Started(request));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Decide)->Arg(100)->Arg(10000);

// What a step of all that run costs the policy: a token for each, and the sums anew.
void BM_Step(benchmark::State& state) {
  const std::vector<Demand> running = Requests(state.range(0));
  QuantilePolicy policy(0.01, PoolFor(running), kBlockTokens);
  std::vector<AdmissionPolicy::Place> places;
  for (const Demand& request : running) places.push_back(policy.Started(request));
  for (auto _ : state) {
    for (const auto place : places) policy.Grew(place, Tokens(1));
    policy.Stepped(false);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Step)->Arg(100)->Arg(10000);

}  // namespace
}  // namespace plimsoll
