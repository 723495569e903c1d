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

Judged RunAndJudge(const SimulationOptions& options, int64_t total_blocks) {
  ServiceSimulation simulation(options);
  HistoryReport report =
      CheckHistory(simulation.Run(), {.total_blocks = total_blocks,
                                      .confirm_window = ServiceSimulation::kConfirmWindow.count(),
                                      .answer_slack = ServiceSimulation::kPatience.count()});
  return {.report = std::move(report), .granted_twice = simulation.granted_twice()};
}

int Seeds() {
  const char* const asked = std::getenv("PLIMSOLL_SEEDS");
  return asked == nullptr ? 20 : std::max(1, std::atoi(asked));
}

TEST(ServiceSimulation, NothingIsPromisedTwiceWhateverTheNetworkDoes) {
  const int first = testing::UnitTest::GetInstance()->random_seed();
  int64_t grants = 0, lives = 0, unanswered = 0, peak = 0;
  for (int seed = first; seed < first + Seeds(); ++seed) {
    SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
    const Judged judged = RunAndJudge({.seed = static_cast<uint32_t>(seed)}, 64);
    const HistoryReport& report = judged.report;
    ASSERT_THAT(report.faults, IsEmpty());
    ASSERT_EQ(judged.granted_twice, 0);
    grants += report.grants;
    lives += report.server_lives;
    unanswered += report.calls - report.decisions;
    peak = std::max(peak, report.peak_blocks);
  }
  EXPECT_GT(grants, 100 * Seeds());
  EXPECT_GT(lives, 2 * Seeds());
  EXPECT_GT(unanswered, 10 * Seeds()) << "messages should be lost";
  EXPECT_GT(peak, 48) << "the pool should be nearly full";
}

TEST(ServiceSimulation, TheSameSeedGivesTheSameRun) {
  EXPECT_EQ(ServiceSimulation({.seed = 5}).Run(), ServiceSimulation({.seed = 5}).Run());
  EXPECT_NE(ServiceSimulation({.seed = 5}).Run(), ServiceSimulation({.seed = 6}).Run());
}

TEST(ServiceSimulation, ALedgerThatPromisesMoreThanThereIsIsSeen) {
  EXPECT_THAT(RunAndJudge({.seed = 1, .blocks = 80}, 64).report.faults,
              Contains(HasSubstr("capacity:")));
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
