// Sums over reservations, by hand and against adding one by one.
#include "rpc/dashboard/holders.h"

#include <gtest/gtest.h>

#include <random>

namespace plimsoll {
namespace {

using std::chrono::seconds;

Holding HoldingOf(const std::string& tenant, int64_t age, int64_t blocks, int64_t used) {
  Holding holding{};
  holding.tenant = tenant;
  holding.age = seconds(age);
  holding.blocks = Blocks(blocks);
  holding.used = Blocks(used);
  return holding;
}

TEST(Holders, TenantsComeByWhatTheyHoldAndAgesByTheirEnds) {
  const HoldersSummary summary =
      Summarise({HoldingOf("small", 3601, 2, 2), HoldingOf("large", 60, 10, 4),
                 HoldingOf("small", 10, 3, 0), HoldingOf("large", 9, 1, 1)});
  ASSERT_EQ(summary.tenants.size(), 2);
  EXPECT_EQ(summary.tenants[0].tenant, "large");
  EXPECT_EQ(summary.tenants[0].held.blocks, Blocks(11));
  EXPECT_EQ(summary.tenants[0].held.unused, Blocks(6));
  EXPECT_EQ(summary.tenants[0].held.oldest, seconds(60));
  EXPECT_EQ(summary.tenants[1].held.reservations, 2);
  EXPECT_EQ(summary.by_age[0].blocks, Blocks(1)) << "under ten seconds";
  EXPECT_EQ(summary.by_age[1].blocks, Blocks(3)) << "from ten on";
  EXPECT_EQ(summary.by_age[2].blocks, Blocks(10)) << "from a minute on";
  EXPECT_EQ(summary.by_age[3].reservations, 0);
  EXPECT_EQ(summary.by_age[4].blocks, Blocks(2)) << "from an hour on";
  EXPECT_EQ(summary.oldest.front().age, seconds(3601));
}

TEST(Holders, NobodyHoldsNothing) {
  const HoldersSummary summary = Summarise({});
  EXPECT_TRUE(summary.tenants.empty());
  EXPECT_TRUE(summary.oldest.empty());
  EXPECT_EQ(summary.others.held.reservations, 0);
}

TEST(Holders, WhatIsUsedBeyondThePromiseIsNotUnused) {
  EXPECT_EQ(Summarise({HoldingOf("a", 1, 2, 5)}).tenants[0].held.unused, Blocks(0));
}

TEST(Holders, SumsOverTenantsAndOverAgesAreSumsOverAll) {
  const unsigned seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto draw = [&random](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int round = 0; round < 50; ++round) {
    std::vector<Holding> holdings;
    int64_t blocks = 0, unused = 0;
    for (int64_t i = draw(0, 99); i > 0; --i) {
      const int64_t its = draw(1, 50), used = draw(0, its);
      const std::string tenant = "t" + std::to_string(draw(0, 14));
      holdings.push_back(HoldingOf(tenant, draw(0, 4999), its, used));
      blocks += its;
      unused += its - used;
    }
    const HoldersSummary summary = Summarise(holdings);
    HeldSum of_tenants = summary.others.held, of_ages;
    for (const TenantSum& tenant : summary.tenants) {
      of_tenants.reservations += tenant.held.reservations;
      of_tenants.blocks += tenant.held.blocks;
      of_tenants.unused += tenant.held.unused;
      EXPECT_GE(tenant.held.blocks, summary.tenants.back().held.blocks);
    }
    for (const HeldSum& held : summary.by_age) {
      of_ages.blocks += held.blocks;
      of_ages.unused += held.unused;
    }
    EXPECT_EQ(of_tenants.reservations, std::ssize(holdings));
    EXPECT_EQ(of_tenants.blocks, Blocks(blocks));
    EXPECT_EQ(of_tenants.unused, Blocks(unused));
    EXPECT_EQ(of_ages.blocks, Blocks(blocks));
    EXPECT_EQ(of_ages.unused, Blocks(unused));
    EXPECT_LE(summary.tenants.size(), HoldersSummary::kMostTenants);
    EXPECT_LE(summary.oldest.size(), HoldersSummary::kMostListed);
  }
}

}  // namespace
}  // namespace plimsoll
