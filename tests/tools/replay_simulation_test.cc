// The simulation against figures worked by hand, and against a queue simulated without the library.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/replay/simulation.h"
#include "tools/replay/trace.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::Pair;

// One millisecond for a prompt token, ten for an output token.
constexpr WorkloadOptions kPace{.prefill_rate = 1000, .decode_ms = 10};

TraceRequest Request(int64_t arrival_ms, int64_t prompt, int64_t output) {
  return {milliseconds(arrival_ms), Tokens(prompt), Tokens(output)};
}

ReplayReport Replayed(const std::vector<TraceRequest>& trace, const SimulationOptions& options,
                      const WorkloadOptions& pace = kPace) {
  const auto workload = MakeWorkload(trace, pace);
  PLIMSOLL_CHECK(workload.ok(), workload.status().message());
  const auto report = Simulate(*workload, options);
  PLIMSOLL_CHECK(report.ok(), report.status().message());
  return *report;
}

// Blocks of 4 tokens, 5 of them:
//   A comes at 0, 4 + 3 tokens, 2 blocks, runs 4 + 30 ms: 0 to 34.
//   B comes at 10, 8 + 2 tokens, 3 blocks, runs 8 + 20 ms: 10 to 38.
//   C comes at 20, 4 + 1 tokens, 2 blocks, waits for A, runs 4 + 10 ms: 34 to 48.
//   D comes at 40, 20 + 1 tokens, 6 blocks: never.
TEST(Simulation, ThreeRequestsOfWhichOneWaitsAndAFourthThatNeverFits) {
  const ReplayReport report =
      Replayed({Request(0, 4, 3), Request(10, 8, 2), Request(20, 4, 1), Request(40, 20, 1)},
               {.blocks = Blocks(5), .block_tokens = Tokens(4)});
  EXPECT_EQ(report.requests, 4);
  EXPECT_EQ(report.admitted, 3);
  EXPECT_EQ(report.waited, 1);
  EXPECT_EQ(report.refused, 1);
  EXPECT_THAT(report.refusals, ElementsAre(Pair("NEVER_FITS", 1)));
  EXPECT_EQ(report.peak_sequences, 2);
  EXPECT_DOUBLE_EQ(report.mean_sequences, (34.0 + 28 + 14) / 48);
  EXPECT_EQ(report.peak_blocks, Blocks(5));
  EXPECT_EQ(report.prompt_tokens, Tokens(16));
  EXPECT_EQ(report.prompt_blocks, Blocks(4));
  // Token slots filled, over time: A 10 * (6 + 5 + 4) ms, B 10 * (9 + 8), C 10 * 4. Promised:
  // A 8 * 34, B 12 * 28, C 8 * 14.
  EXPECT_DOUBLE_EQ(report.useful_fraction, 360.0 / 720);
}

TEST(Simulation, AContextLimitRefusesWhatThePoolWouldHold) {
  const ReplayReport report = Replayed({Request(0, 4, 3), Request(1, 5, 3)},
                                       {.blocks = Blocks(100), .max_context = Tokens(7)});
  EXPECT_EQ(report.admitted, 1);
  EXPECT_THAT(report.refusals, ElementsAre(Pair("NEVER_FITS", 1)));
}

TEST(Simulation, APrefillOnlyRequestRunsForItsPrefill) {
  const ReplayReport report = Replayed({Request(0, 4, 0), Request(2, 4, 0)}, {.blocks = Blocks(1)});
  EXPECT_EQ(report.admitted, 2);
  EXPECT_EQ(report.waited, 1);
  EXPECT_DOUBLE_EQ(report.mean_sequences, 1.0);
  EXPECT_EQ(report.useful_fraction, 0);
}

TEST(Simulation, NothingAdmittedGivesZerosAndNotNumbersThatAreNone) {
  const ReplayReport report = Replayed({Request(0, 99, 0)}, {.blocks = Blocks(1)});
  EXPECT_EQ(report.refused, 1);
  EXPECT_EQ(report.mean_sequences, 0);
  EXPECT_EQ(report.useful_fraction, 0);
}

TEST(Simulation, SpeedChangesNothingButTheClock) {
  const std::vector<TraceRequest> trace = {Request(0, 4, 3), Request(10, 8, 2), Request(20, 4, 1)};
  const SimulationOptions options{.blocks = Blocks(5), .block_tokens = Tokens(4)};
  WorkloadOptions fast = kPace;
  fast.speed = 10;
  EXPECT_EQ(ToJson(Replayed(trace, options, fast)), ToJson(Replayed(trace, options)));
}

// Two prompts of two blocks that begin alike, blocks of 512 tokens: the second waits for the first
// where it cannot share, and does not where it can. The third finds what the second kept.
TEST(Simulation, SharedPrefixesSaveRoomAndAreCounted) {
  std::vector<TraceRequest> trace = {Request(0, 1024, 2), Request(2000, 1024, 2),
                                     Request(9000, 1100, 2)};
  trace[0].hash_ids = {1, 2};
  trace[1].hash_ids = {1, 3};
  trace[2].hash_ids = {1, 3, 4};
  SimulationOptions options{.blocks = Blocks(5), .block_tokens = Tokens(512)};
  const WorkloadOptions slow{.prefill_rate = 1024, .decode_ms = 1000};
  const ReplayReport apart = Replayed(trace, options, slow);
  EXPECT_EQ(apart.waited, 1);
  EXPECT_EQ(apart.prefix_hit_blocks, Blocks(0));
  EXPECT_EQ(apart.eviction, "");
  options.eviction = Eviction::kLru;
  const ReplayReport shared = Replayed(trace, options, slow);
  EXPECT_EQ(shared.waited, 0);
  EXPECT_EQ(shared.prefix_hit_blocks, Blocks(3));
  EXPECT_EQ(shared.prefix_hit_tokens, Tokens(3 * 512));
  EXPECT_EQ(shared.prompt_blocks, Blocks(7));
  EXPECT_EQ(shared.peak_blocks, Blocks(5)) << "1, 2 and 3, and a block of output for each";
  EXPECT_EQ(shared.eviction, "lru");
}

// What should have happened, found by looking at all requests for every question.
class NaiveQueue {
 public:
  NaiveQueue(const Workload& workload, const SimulationOptions& options)
      : workload_(workload), options_(options) {
    Duration head = Duration::zero();  // when the request in front was admitted: nobody overtakes
    for (const ReplayRequest& request : workload.requests) {
      if (Need(request) > options.blocks) {
        ++refused;
        continue;
      }
      head = EarliestStart(request, std::max(head, request.arrival));
      jobs_.push_back({&request, head, head + workload.HoldTime(request)});
      if (head > request.arrival) ++waited;
    }
  }

  int64_t waited = 0;
  int64_t refused = 0;

  Blocks Taken(Duration at) const {
    return SumAt(at, [&](const Job& job) { return Need(*job.request); });
  }
  Blocks Live(Duration at) const {
    return SumAt(at, [&](const Job& job) {
      return BlocksCovering(Length(job, at - job.start), options_.block_tokens);
    });
  }
  int64_t Running(Duration at) const {
    return SumAt(at, [](const Job&) { return Blocks(1); }).value();
  }
  int64_t PeakRunning() const {
    int64_t peak = 0;
    for (const Job& job : jobs_) peak = std::max(peak, Running(job.start));
    return peak;
  }
  double MeanRunning() const {
    Duration sum = Duration::zero(), end = Duration::zero();
    for (const Job& job : jobs_) {
      sum += job.end - job.start;
      end = std::max(end, job.end);
    }
    return static_cast<double>(sum.count()) / static_cast<double>(end.count());
  }

 private:
  struct Job {
    const ReplayRequest* request;
    Duration start, end;
  };

  Blocks Need(const ReplayRequest& request) const {
    return BlocksCovering(request.total(), options_.block_tokens);
  }
  template <class Amount>
  Blocks SumAt(Duration at, Amount amount) const {
    Blocks sum;
    for (const Job& job : jobs_) {
      if (job.start <= at && at < job.end) sum += amount(job);
    }
    return sum;
  }
  // Room appears only when something ends.
  Duration EarliestStart(const ReplayRequest& request, Duration from) const {
    std::vector<Duration> moments = {from};
    for (const Job& job : jobs_) moments.push_back(std::max(from, job.end));
    std::sort(moments.begin(), moments.end());
    for (const Duration moment : moments) {
      if (Taken(moment) + Need(request) <= options_.blocks) return moment;
    }
    PLIMSOLL_CHECK(false, "an empty pool had no room");
  }
  Tokens Length(const Job& job, Duration age) const {
    if (age < job.request->prefill) return Tokens(0);
    const int64_t steps = (age - job.request->prefill) / workload_.decode_step;
    return job.request->prompt + Tokens(std::min(steps, job.request->output.value()));
  }

  const Workload& workload_;
  const SimulationOptions& options_;
  std::vector<Job> jobs_;
};

std::vector<TraceRequest> RandomTrace(std::mt19937& rng, int requests) {
  std::vector<TraceRequest> trace;
  int64_t now = 0;
  for (int i = 0; i < requests; ++i) {
    now += static_cast<int64_t>(rng() % 60);
    const bool huge = rng() % 50 == 0;
    trace.push_back(Request(now, static_cast<int64_t>(1 + rng() % (huge ? 400 : 40)),
                            static_cast<int64_t>(rng() % 20)));
  }
  return trace;
}

TEST(SimulationProperty, AgreesWithANaiveQueueAtEveryMoment) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  int64_t waited = 0;
  for (int round = 0; round < 30; ++round) {
    const auto workload = MakeWorkload(RandomTrace(rng, 150), kPace);
    ASSERT_TRUE(workload.ok());
    std::map<Duration, BlockCounts> seen;  // after the last event of each moment
    SimulationOptions options{.blocks = Blocks(static_cast<int64_t>(12 + rng() % 40)),
                              .block_tokens = Tokens(int64_t{1} << (rng() % 5))};
    options.on_event = [&](Duration at, const AdmissionController& admission) {
      seen[at] = admission.cache().counts();
      admission.CheckInvariants();
    };
    const auto report = Simulate(*workload, options);
    ASSERT_TRUE(report.ok()) << report.status();
    const NaiveQueue naive(*workload, options);
    EXPECT_EQ(report->requests, report->admitted + report->refused);
    EXPECT_EQ(report->waited, naive.waited);
    EXPECT_EQ(report->refused, naive.refused);
    EXPECT_EQ(report->peak_sequences, naive.PeakRunning());
    EXPECT_NEAR(report->mean_sequences, naive.MeanRunning(), 1e-9);
    for (const auto& [at, counts] : seen) {
      ASSERT_TRUE(counts.Conserved());
      ASSERT_EQ(counts.live, naive.Live(at)) << "round " << round << " at " << at.count();
      ASSERT_EQ(counts.live + counts.reserved, naive.Taken(at)) << "at " << at.count();
    }
    waited += report->waited;
  }
  EXPECT_GT(waited, 100) << "the pools were too large to test waiting";
}

TEST(Simulation, TheSameInputGivesTheSameBytes) {
  std::mt19937 rng(7);
  const std::vector<TraceRequest> trace = RandomTrace(rng, 500);
  const SimulationOptions options{.blocks = Blocks(20), .block_tokens = Tokens(4)};
  EXPECT_EQ(ToJson(Replayed(trace, options)), ToJson(Replayed(trace, options)));
}

TEST(Simulation, APoolThatCannotBeIsRefused) {
  const auto workload = MakeWorkload(std::vector{Request(0, 1, 1)}, kPace);
  EXPECT_TRUE(absl::IsInvalidArgument(Simulate(*workload, {.blocks = Blocks(0)}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Simulate(*workload, {.blocks = Blocks(9), .block_tokens = Tokens(3)}).status()));
}

// An hour of public traffic in a pool that holds all of it: the figures come from adding up the
// trace's own columns at the default rates.
TEST(Simulation, AnHourOfRealTrafficPeaksAt63) {
  const char* const folder = std::getenv("PLIMSOLL_TRACES");
  if (folder == nullptr) GTEST_SKIP() << "set PLIMSOLL_TRACES to a folder with the public traces";
  const auto trace = ReadTrace(std::string(folder) + "/azure_2023_conv.csv", std::nullopt);
  ASSERT_TRUE(trace.ok()) << trace.status();
  const ReplayReport report = Replayed(*trace, {.blocks = Blocks(28000)}, {});
  EXPECT_EQ(report.admitted, 19366);
  EXPECT_EQ(report.waited, 0);
  EXPECT_EQ(report.peak_sequences, 63);
  EXPECT_NEAR(report.mean_sequences, 35.5406, 1e-4);
  const ReplayReport crowded = Replayed(*trace, {.blocks = Blocks(2000)}, {});
  EXPECT_EQ(crowded.admitted + crowded.refused, 19366);
  EXPECT_GT(crowded.waited, 0);
  EXPECT_LE(crowded.peak_blocks, Blocks(2000));
}

}  // namespace
}  // namespace plimsoll
