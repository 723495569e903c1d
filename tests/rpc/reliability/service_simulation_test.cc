// The whole service, simulated over many seeds, and servers that are wrong on purpose.
// PLIMSOLL_SEEDS says over how many.
#include "tests/rpc/reliability/service_simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/rpc/reliability/history_check.h"

namespace plimsoll {
namespace {

using testing::AnyOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

struct Judged {
  HistoryReport report;
  int granted_twice;
};

// Calls are given up, and streams known to be cut, well within this.
constexpr Duration kAnswerSlack = std::chrono::milliseconds(1500);
// Of one who waits: the other tenants' turns, and what is on its way.
constexpr int64_t kMostOvertakes = 40;

Judged RunAndJudge(const SimulationOptions& options, int64_t total_blocks) {
  ServiceSimulation simulation(options);
  HistoryReport report =
      CheckHistory(simulation.Run(), {.total_blocks = total_blocks,
                                      .confirm_window = ServiceSimulation::kConfirmWindow.count(),
                                      .answer_slack = kAnswerSlack.count(),
                                      .learning = options.learning,
                                      .most_overtakes = kMostOvertakes});
  return {.report = std::move(report), .granted_twice = simulation.granted_twice()};
}

int Seeds() {
  const char* const asked = std::getenv("PLIMSOLL_SEEDS");
  return asked == nullptr ? 20 : std::max(1, std::atoi(asked));
}

// Of all seeds.
struct Sums {
  int64_t grants = 0, lives = 0, unanswered = 0, peak = 0, claims = 0, kept = 0, overtaken = 0;
};

Sums RunAll(SimulationOptions options) {
  const int first = testing::UnitTest::GetInstance()->random_seed();
  Sums sums;
  for (int seed = first; seed < first + Seeds(); ++seed) {
    SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
    options.seed = static_cast<uint32_t>(seed);
    const Judged judged = RunAndJudge(options, options.blocks);
    const HistoryReport& report = judged.report;
    EXPECT_THAT(report.faults, IsEmpty());
    EXPECT_EQ(judged.granted_twice, 0);
    if (testing::Test::HasFailure()) break;
    sums.grants += report.grants;
    sums.lives += report.server_lives;
    sums.unanswered += report.calls - report.decisions;
    sums.peak = std::max(sums.peak, report.peak_blocks);
    sums.claims += report.claims;
    sums.kept += report.kept;
    sums.overtaken = std::max(sums.overtaken, report.most_overtaken);
  }
  EXPECT_GT(sums.lives, 2 * Seeds());
  EXPECT_GT(sums.unanswered, 10 * Seeds()) << "messages should be lost";
  EXPECT_GT(4 * sums.peak, 3 * options.blocks) << "the pool should be nearly full";
  return sums;
}

TEST(ServiceSimulation, NothingIsPromisedTwiceWhateverTheNetworkDoes) {
  EXPECT_GT(RunAll({.seed = 0}).grants, 100 * Seeds());
}

TEST(ServiceSimulation, WhatSessionsHoldIsHeldWhileTheirStreamsComeAndGo) {
  const Sums sums = RunAll({.seed = 0, .callers = 6, .sessions = 6});
  EXPECT_GT(sums.grants, 100 * Seeds());
  EXPECT_GT(sums.kept, 100 * Seeds());
}

TEST(ServiceSimulation, HoldersClaimFromALedgerThatLearnsAndNothingIsPromisedTwice) {
  const Sums sums =
      RunAll({.seed = 0, .blocks = 40, .callers = 6, .sessions = 6, .learning = true});
  EXPECT_GT(sums.grants, 50 * Seeds());
  EXPECT_GT(sums.kept, 100 * Seeds());
  EXPECT_GT(sums.claims, 5 * Seeds());
}

// A crowd of one tenant always waits, and beside it somebody alone, whose turn comes all the same.
TEST(ServiceSimulation, NobodyWhoWaitsIsStarved) {
  SimulationOptions options{.seed = 0,
                            .blocks = 40,
                            .callers = 0,
                            .sessions = 12,
                            .crowd = true,
                            .server_life = std::chrono::hours(1)};
  for (options.seed = 1; options.seed < 6; ++options.seed) {
    const Judged judged = RunAndJudge(options, options.blocks);
    EXPECT_THAT(judged.report.faults, IsEmpty()) << "seed " << options.seed;
    EXPECT_GT(judged.report.most_overtaken, 0) << "tenants take turns";
  }
}

TEST(ServiceSimulation, TheSameSeedGivesTheSameRun) {
  const auto run = [](uint32_t seed) {
    return ServiceSimulation({.seed = seed, .sessions = 6, .learning = true}).Run();
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
}

TEST(ServiceSimulation, ALedgerThatPromisesMoreThanThereIsIsSeen) {
  EXPECT_THAT(RunAndJudge({.seed = 1, .blocks = 80}, 64).report.faults,
              Contains(HasSubstr("capacity:")));
}

TEST(ServiceSimulation, ALedgerThatForgetsWhatWasHeldBeforeItDiedIsSeen) {
  const SimulationOptions forgetful{.seed = 1, .callers = 6, .sessions = 6};
  ServiceSimulation simulation(forgetful);
  const HistoryReport report =
      CheckHistory(simulation.Run(), {.total_blocks = forgetful.blocks,
                                      .confirm_window = ServiceSimulation::kConfirmWindow.count(),
                                      .answer_slack = kAnswerSlack.count(),
                                      .learning = true});
  EXPECT_THAT(report.faults, Contains(AnyOf(HasSubstr("capacity:"), HasSubstr("leases:"))));
}

TEST(ServiceSimulation, ALedgerThatForgetsRequestsIsSeen) {
  const auto forget = [](v1::Operation& operation) {
    if (operation.has_reserve()) operation.mutable_reserve()->clear_request_id();
  };
  EXPECT_GT(RunAndJudge({.seed = 1, .spoil = forget}, 64).granted_twice, 0);
}

TEST(ServiceSimulation, ALedgerThatEndsLeasesEarlyIsSeen) {
  const auto hurry = [](v1::Operation& operation) {
    if (operation.has_reserve()) operation.mutable_reserve()->mutable_ttl()->set_seconds(0);
  };
  EXPECT_THAT(RunAndJudge({.seed = 1, .spoil = hurry}, 64).report.faults,
              Contains(AnyOf(HasSubstr("capacity:"), HasSubstr("leases:"))));
}

}  // namespace
}  // namespace plimsoll
