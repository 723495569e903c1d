// What is learned of how long outputs are.
#include <cmath>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/kvcache/admission/lengths.h"

namespace plimsoll {
namespace {

TEST(OutputLengths, EveryAgeIsInTheBinThatBeginsBeforeIt) {
  int last = -1;
  for (int64_t age = 0; age < 200000; ++age) {
    const int bin = OutputLengths::BinOf(age);
    ASSERT_LE(OutputLengths::StartOf(bin), age);
    if (bin != last) {
      ASSERT_EQ(OutputLengths::StartOf(bin), age);
      ASSERT_EQ(bin, ++last);
    }
  }
  EXPECT_EQ(last, OutputLengths::kBins - 1);
  EXPECT_EQ(OutputLengths::BinOf(int64_t{1} << 40), OutputLengths::kBins - 1);
}

void Pass(OutputLengths& lengths, int64_t length) {
  for (int64_t age = 0; age < length; ++age) Generate(lengths, age);
}

// One request after another of `length` tokens.
void Observe(OutputLengths& lengths, int64_t length) {
  Pass(lengths, length);
  lengths.Ended(OutputLengths::BinOf(length - 1));
}

constexpr size_t kAfter1 = 0, kAfter32 = 9, kAfter64 = 11, kAfter256 = 15;
static_assert(OutputLengths::kHorizons[kAfter1] == 1 && OutputLengths::kHorizons[kAfter32] == 32);
static_assert(OutputLengths::kHorizons[kAfter64] == 64 &&
              OutputLengths::kHorizons[kAfter256] == 256);

TEST(OutputLengths, WithoutAnyTheAverageIs400) {
  const OutputLengths lengths({});
  for (const int64_t age : {0, 10, 1000}) {
    EXPECT_NEAR(StillThere(lengths, age, kAfter256), std::exp(-256.0 / 400), 1e-9);
  }
}

TEST(OutputLengths, OutputsThatForgetTheirAgeAreRecognised) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  std::geometric_distribution<int64_t> more(1.0 / 100);
  OutputLengths lengths({});
  for (int i = 0; i < 3000; ++i) Observe(lengths, 1 + more(rng));
  lengths.Learn();
  for (const int64_t age : {40, 80}) {
    EXPECT_NEAR(StillThere(lengths, age, kAfter32), std::pow(0.99, 32), 0.08);
  }
}

// Half are 20 long and half 300: who passed 20 goes on, and who has 290 is about to end.
TEST(OutputLengths, WhatIsToComeDependsOnTheAge) {
  OutputLengths lengths({});
  for (int i = 0; i < 500; ++i) {
    Observe(lengths, 20);
    Observe(lengths, 300);
  }
  lengths.Learn();
  EXPECT_NEAR(StillThere(lengths, 0, kAfter64), 0.5, 0.06);
  EXPECT_GT(StillThere(lengths, 30, kAfter64), 0.97);
  EXPECT_LT(StillThere(lengths, 290, kAfter256), 0.2);
}

TEST(OutputLengths, WhoStillRunsCountsForTheAgesItPassed) {
  OutputLengths some({}), all({});  // of the outputs that began
  for (int i = 0; i < 200; ++i) {
    Observe(some, 50);
    Observe(all, 50);
    Pass(all, 100);
  }
  some.Learn();
  all.Learn();
  EXPECT_LT(StillThere(some, 40, kAfter64), 0.1);
  EXPECT_NEAR(StillThere(all, 0, kAfter64), 0.5, 0.1);
}

TEST(OutputLengths, ForgetsWhatClientsNoLongerDo) {
  OutputLengths lengths({});
  for (int i = 0; i < 2000; ++i) Observe(lengths, 200);
  for (int i = 0; i < 2000; ++i) Observe(lengths, 16);
  lengths.Learn();
  EXPECT_LT(StillThere(lengths, 0, kAfter32), 0.05);
}

TEST(OutputLengths, ATenantOfWhichLittleIsKnownIsLikeEverybody) {
  OutputLengths everybody({}), tenant({.prior = &everybody, .prior_requests = 20});
  for (int i = 0; i < 1000; ++i) Observe(everybody, 16);
  Observe(tenant, 500);
  everybody.Learn();
  tenant.Learn();
  EXPECT_LT(StillThere(tenant, 0, kAfter64), 0.1);
  for (int i = 0; i < 1000; ++i) Observe(tenant, 500);
  tenant.Learn();
  EXPECT_GT(StillThere(tenant, 0, kAfter64), 0.8);
}

}  // namespace
}  // namespace plimsoll
