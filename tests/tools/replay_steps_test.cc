// Decoding step by step: by hand, and beside a simulation without the library.
#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kvcache/sizing/block_demand.h"
#include "tests/tools/step_replays.h"
#include "tools/replay/policy_sweep.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;

TraceRequest Request(int64_t arrival_ms, int64_t prompt, int64_t output) {
  return {milliseconds(arrival_ms), Tokens(prompt), Tokens(output)};
}

constexpr WorkloadOptions kPromptsAtOnce{.prefill_rate = 1e12, .decode_ms = 10};
constexpr PolicyOptions kNoWatermark{.policy = Policy::kWatermark, .watermark = 0};

// Three blocks of 4 tokens. A (4 + 4) takes two at once and B (3 + 5) one. In the second step B
// needs another and stops, with the 4 tokens it had; A ends with the fourth step. B starts over in
// the fifth and ends with the eighth. C (12 + 0) needs the whole pool and starts in the ninth,
// which ends the backlog.
TEST(StepSimulation, OneStopsForAnotherAndStartsOver) {
  StepOptions options = Pool(3, 4, kNoWatermark);
  options.backlog = true;
  const std::vector<TraceRequest> trace = {Request(0, 4, 4), Request(0, 3, 5), Request(0, 12, 0)};
  const ReplayReport backlog = Replayed(trace, options);
  EXPECT_EQ(backlog.requests, 3);
  EXPECT_EQ(backlog.admitted, 3);
  EXPECT_EQ(backlog.waited, 1);
  EXPECT_EQ(backlog.preempted, 1);
  EXPECT_EQ(backlog.peak_sequences, 2);
  EXPECT_EQ(backlog.peak_blocks, Blocks(3));
  EXPECT_DOUBLE_EQ(backlog.mean_sequences, (2.0 + 7) / 8);
  EXPECT_DOUBLE_EQ(backlog.useful_fraction, (9.0 + 6 + 7 + 8 + 5 + 6 + 7 + 8) / (12 + 7 * 8));
  ASSERT_TRUE(backlog.steps.has_value());
  EXPECT_EQ(backlog.steps->steps, 8);
  EXPECT_EQ(backlog.steps->decisions, 2);
  EXPECT_EQ(backlog.steps->overflows, 1);
  EXPECT_EQ(backlog.steps->recomputed, Tokens(4));
  EXPECT_DOUBLE_EQ(backlog.steps->pool_fraction, 56.0 / 96);
  EXPECT_EQ(backlog.steps->queued.max, milliseconds(80));
  options.backlog = false;
  EXPECT_EQ(Replayed(trace, options, kPromptsAtOnce).steps->steps, 9) << "and C's own";
}

// In the second step A needs a block. B has 10 tokens in 3 blocks and C 24 in 6, which is more to
// compute again for each of them, and three are room enough.
TEST(StepSimulation, TheCheapestVictimNeedNotBeTheNewest) {
  StepOptions options = Pool(13, 4, kNoWatermark);
  const std::vector<TraceRequest> trace = {Request(0, 15, 2), Request(0, 9, 2), Request(0, 23, 3)};
  const auto recomputed = [&](VictimRule rule) {
    options.victim = rule;
    return Replayed(trace, options, kPromptsAtOnce).steps->recomputed;
  };
  EXPECT_EQ(recomputed(VictimRule::kNewest), Tokens(24));
  EXPECT_EQ(recomputed(VictimRule::kCheapest), Tokens(10));
}

TEST(StepSimulation, RequestsComeAtTheirTimeAndPromptsTakeTheirs) {
  // Steps of 10 ms. A comes at 0, computes 20 tokens in 2 steps, then generates 3: 5 steps. B comes
  // in step 2 and needs the whole pool; it starts in step 5 and takes 3 + 1.
  const ReplayReport report = Replayed({Request(0, 20, 3), Request(20, 30, 1), Request(21, 90, 1)},
                                       Pool(8, 4, {.policy = Policy::kNeverEvict}));
  EXPECT_EQ(report.admitted, 2);
  EXPECT_EQ(report.waited, 1);
  EXPECT_EQ(report.refused, 1) << "91 tokens never fit";
  EXPECT_EQ(report.preempted, 0);
  EXPECT_EQ(report.steps->steps, 9);
  EXPECT_DOUBLE_EQ(report.mean_sequences, 1);
  EXPECT_EQ(report.steps->queued.max, milliseconds(30));
  EXPECT_EQ(report.steps->policy, "never-evict");
}

TEST(StepSimulation, ADeclaredLengthIsWhatNeverEvictPromises) {
  const std::vector<TraceRequest> trace(9, Request(0, 10, 5));
  StepOptions options = Pool(32, 1, {.policy = Policy::kNeverEvict});
  options.backlog = true;
  options.context = Tokens(16);
  const auto running = [&](DeclaredLength declared) {
    options.declared = declared;
    return Replayed(trace, options).peak_blocks.value();
  };
  EXPECT_EQ(running({}), 30);
  EXPECT_EQ(running({DeclaredLength::Rule::kPowerOfTwo}), 32) << "8, but no more than the context";
  EXPECT_EQ(running({DeclaredLength::Rule::kOneOf, {Tokens(6)}}), 32);
  options.context = Tokens(20);
  EXPECT_EQ(running({DeclaredLength::Rule::kContext}), 20);
}

// Blocks of 512 tokens, as the ids have. A's prompt takes 2 steps and it ends with the third, when
// B comes. B finds the first half of its prompt, so computes in one step what would take two.
TEST(StepSimulation, AFoundPrefixIsSharedAndNotComputed) {
  std::vector<TraceRequest> trace = {Request(0, 1024, 1), Request(30, 1024, 1)};
  trace[0].hash_ids = {1, 2};
  trace[1].hash_ids = {1, 3};
  StepOptions options = Pool(4, 512, {});
  const WorkloadOptions pace{.prefill_rate = 51200, .decode_ms = 10};
  EXPECT_EQ(Replayed(trace, options, pace).steps->steps, 6);
  options.eviction = Eviction::kLru;
  const ReplayReport report = Replayed(trace, options, pace);
  EXPECT_EQ(report.steps->steps, 5);
  EXPECT_EQ(report.eviction, "lru");
  EXPECT_EQ(report.prefix_hit_tokens, Tokens(512));
  EXPECT_EQ(report.prefix_hit_blocks, Blocks(1));
  EXPECT_EQ(report.prompt_blocks, Blocks(4));
  EXPECT_EQ(report.peak_blocks, Blocks(3));
}

// B stops with its 25th token, when it would need a third block, and finds the full block of its
// prompt when it starts over: 1024 tokens less 512.
TEST(StepSimulation, WhoStartsOverFindsItsPrompt) {
  std::vector<TraceRequest> trace = {Request(0, 1024, 600), Request(0, 1000, 100)};
  trace[0].hash_ids = {1, 2};
  trace[1].hash_ids = {3, 4};
  StepOptions options = Pool(5, 512, kNoWatermark);
  EXPECT_EQ(Replayed(trace, options, kPromptsAtOnce).steps->recomputed, Tokens(1024));
  options.eviction = Eviction::kLru;
  const ReplayReport report = Replayed(trace, options, kPromptsAtOnce);
  EXPECT_EQ(report.preempted, 1);
  EXPECT_EQ(report.steps->recomputed, Tokens(512));
  EXPECT_EQ(report.prefix_hit_tokens, Tokens(0)) << "counted when a request first starts";
}

// Two run at once and share two blocks of three: 3 + 1 of 8 are taken, each holds three.
TEST(StepSimulation, WhatIsSharedIsThereOnce) {
  std::vector<TraceRequest> trace = {Request(0, 1024, 20), Request(10, 1024, 20)};
  trace[0].hash_ids = trace[1].hash_ids = {1, 2};
  StepOptions options = Pool(8, 512, kNoWatermark);
  options.eviction = Eviction::kLru;
  const ReplayReport report = Replayed(trace, options, kPromptsAtOnce);
  EXPECT_EQ(report.peak_sequences, 2);
  EXPECT_EQ(report.peak_blocks, Blocks(4));
  EXPECT_GT(report.useful_fraction, 1024.0 / 1536);
  EXPECT_LT(report.useful_fraction, 1045.0 / 1536);
  EXPECT_LT(report.steps->pool_fraction, 4.0 / 8);
}

TEST(StepSimulation, TimeWithoutAStepIsRefused) {
  const auto workload = MakeWorkload(std::vector{Request(0, 1, 1)}, {.decode_ms = 0});
  ASSERT_TRUE(workload.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(SimulateSteps(*workload, Pool(4, 4, {})).status()));
}

// A backlog under a watermark, with counters only.
struct NaiveBacklog {
  NaiveBacklog(const std::vector<TraceRequest>& trace, int64_t pool, int64_t block, int64_t kept) {
    struct Job {
      size_t request;
      int64_t length, blocks;
    };
    std::vector<int64_t> length;
    std::deque<size_t> waiting;
    for (const TraceRequest& request : trace) {
      waiting.push_back(length.size());
      length.push_back(request.prompt.value());
    }
    std::vector<Job> jobs;
    int64_t free = pool;
    for (;; ++steps) {
      for (; !waiting.empty(); waiting.pop_front()) {
        const size_t i = waiting.front();
        const int64_t need = CeilDivide(length[i] + 1, block);
        if (need + (jobs.empty() ? 0 : kept) > free) break;
        free -= need;
        jobs.push_back({i, length[i], need});
      }
      if (waiting.empty()) return;
      for (size_t j = 0; j < jobs.size(); ++j) {
        while (j < jobs.size() && CeilDivide(jobs[j].length + 1, block) > jobs[j].blocks) {
          if (free > 0) {
            --free;
            ++jobs[j].blocks;
            continue;
          }
          length[jobs.back().request] = jobs.back().length;
          waiting.push_front(jobs.back().request);
          free += jobs.back().blocks;
          jobs.pop_back();
          ++stops;
        }
      }
      running += std::ssize(jobs);
      for (Job& job : jobs) ++job.length;
      std::erase_if(jobs, [&](const Job& job) {
        const bool ends =
            job.length == (trace[job.request].prompt + trace[job.request].output).value();
        if (ends) free += job.blocks;
        return ends;
      });
    }
  }
  int64_t steps = 0, running = 0, stops = 0;
};

std::vector<TraceRequest> RandomBacklog(std::mt19937& rng, int requests) {
  std::vector<TraceRequest> trace;
  for (int i = 0; i < requests; ++i) {
    trace.push_back(
        Request(0, static_cast<int64_t>(1 + rng() % 60), static_cast<int64_t>(1 + rng() % 40)));
  }
  return trace;
}

TEST(StepSimulationProperty, ABacklogGoesAsWithCountersOnly) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  int64_t stops = 0;
  for (int round = 0; round < 40; ++round) {
    const std::vector<TraceRequest> trace = RandomBacklog(rng, 100);
    const auto block = int64_t{1} << (rng() % 5);
    const int64_t pool = 140 / block + static_cast<int64_t>(rng() % 40);
    StepOptions options = Pool(pool, block, kNoWatermark);
    const int64_t kept = static_cast<int64_t>(rng() % 5);
    options.policy.watermark = (static_cast<double>(kept) + 0.5) / static_cast<double>(pool);
    options.backlog = true;
    const ReplayReport report = Replayed(trace, options);
    const NaiveBacklog naive(trace, pool, block, kept);
    ASSERT_EQ(report.steps->steps, naive.steps) << "round " << round;
    ASSERT_EQ(report.preempted, naive.stops) << "round " << round;
    ASSERT_DOUBLE_EQ(report.mean_sequences,
                     static_cast<double>(naive.running) / static_cast<double>(naive.steps));
    stops += naive.stops;
  }
  EXPECT_GT(stops, 100) << "the pools were too large to test stopping";
}

// Whatever the policy and the victim: everybody ends, and nobody's blocks are lost.
TEST(StepSimulationProperty, EveryRequestEndsUnderEveryPolicy) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  for (int round = 0; round < 30; ++round) {
    std::vector<TraceRequest> trace = RandomBacklog(rng, 120);
    int64_t now = 0;
    for (TraceRequest& request : trace) {
      request.arrival = milliseconds(now += static_cast<int64_t>(rng() % 60));
      if (rng() % 20 == 0) request.output = Tokens(0);
      if (rng() % 4 != 0) request.hash_ids = {rng() % 6};
    }
    StepOptions options = Pool(30, 4, {});
    options.eviction = static_cast<Eviction>(rng() % 4);
    options.declared = {DeclaredLength::Rule::kBetween, {Tokens(10), Tokens(50)}};
    options.policy = {.policy = static_cast<Policy>(round % 3), .watermark = 0.02};
    options.victim = static_cast<VictimRule>(round / 3 % 2);
    Blocks free;
    options.on_step = [&](const KvCache& cache, const StepFigures&) {
      cache.CheckInvariants();
      free = cache.available();
    };
    const ReplayReport report = Replayed(trace, options);
    EXPECT_EQ(report.admitted, 120);
    EXPECT_EQ(free, Blocks(30));
    EXPECT_EQ(ToJson(report), ToJson(Replayed(trace, options))) << "the same bytes again";
  }
}

// Each row is what the policy does when it is asked for alone.
TEST(PolicySweep, HasEveryPolicyFromTheMostToTheLeastCareful) {
  std::mt19937 rng(5);
  const std::vector<TraceRequest> trace = RandomBacklog(rng, 400);
  StepOptions options = Pool(60, 4, {});
  options.backlog = true;
  const auto workload = MakeWorkload(trace, kPromptsAtOnce);
  ASSERT_TRUE(workload.ok());
  const auto sweep = SweepPolicies(*workload, options);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  std::map<Policy, std::vector<const SweepRow*>> by_policy;
  for (const SweepRow& row : sweep->rows) {
    by_policy[row.policy.policy].push_back(&row);
    options.policy = row.policy;
    options.declared = row.declared;
    EXPECT_EQ(ToJson(Replayed(trace, options, kPromptsAtOnce)), ToJson(row.report));
  }
  ASSERT_EQ(by_policy.size(), 3u);
  for (const auto& [policy, rows] : by_policy) {
    EXPECT_LE(rows.front()->report.mean_sequences, rows.back()->report.mean_sequences);
    EXPECT_LE(rows.front()->report.preempted, rows.back()->report.preempted);
  }
}

}  // namespace
}  // namespace plimsoll
