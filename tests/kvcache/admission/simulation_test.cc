// The whole of admission, simulated: nothing is lost or granted twice, minimums are honoured,
// nobody starves, and the same seed gives the same run. PLIMSOLL_SEEDS says over how many seeds.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/kvcache/admission/simulated_clients.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

int Seeds() {
  const char* const asked = std::getenv("PLIMSOLL_SEEDS");
  return asked == nullptr ? 150 : std::max(1, std::atoi(asked));
}

TEST(AdmissionSimulation, NothingIsLostNothingLeaksAndNobodyStarves) {
  const int first = testing::UnitTest::GetInstance()->random_seed();
  const int seeds = Seeds();
  int64_t waited = 0, expired = 0, yielded = 0;
  Duration longest{};
  for (int seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
    SimulatedClients clients(static_cast<uint32_t>(seed));
    clients.Run(seconds(4));
    clients.RunOut();
    clients.Kill();
    const AdmissionSnapshot end = clients.Snapshot();
    ASSERT_EQ(end.blocks.free, end.blocks.total);
    ASSERT_EQ(end.admitted, end.released + end.expired);
    ASSERT_EQ(end.waiting, 0);
    ASSERT_FALSE(HasFailure());
    waited += end.waited;
    expired += end.expired;
    yielded += clients.yielded();
    longest = std::max(longest, clients.longest_wait());
  }
  RecordProperty("seeds", seeds);
  RecordProperty("waited", std::to_string(waited));
  std::printf(
      "%d seeds: %lld waited, %lld expired, %lld gave way, the quiet client at most %.1f s\n",
      seeds, static_cast<long long>(waited), static_cast<long long>(expired),
      static_cast<long long>(yielded), std::chrono::duration<double>(longest).count());
  EXPECT_GT(waited, 5 * seeds) << "the pool should run full";
  EXPECT_GT(expired, 2 * seeds) << "clients should die";
}

TEST(AdmissionSimulation, ALargeRequestOfTheLowestPriorityIsServedInAnEndlessStorm) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  SimulatedClients clients(static_cast<uint32_t>(seed));
  clients.Run(seconds(300));
  EXPECT_GT(clients.longest_wait(), Duration::zero());
  EXPECT_LE(clients.longest_wait(), SimulatedClients::kLongestWait);
}

TEST(AdmissionSimulation, TheSameSeedGivesTheSameRun) {
  SimulatedClients once(7);
  SimulatedClients again(7);
  once.Run(seconds(10));
  again.Run(seconds(10));
  EXPECT_EQ(once.log(), again.log());
  EXPECT_GT(once.log().size(), 1000u);
}

}  // namespace
}  // namespace plimsoll
