// Everything a cache can do, in any order, with every policy.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>

#include "tests/kvcache/pool/cache_driver.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

// A policy, and how many blocks a chunk has where the lowest go first.
using Kind = std::pair<Eviction, Blocks>;

class WholeCacheProperty : public testing::TestWithParam<Kind> {};

TEST_P(WholeCacheProperty, NothingIsLostWhateverComes) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const auto choose = [&](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
  };
  CacheDriver driver(GetParam().first, choose, GetParam().second);
  for (int64_t step = 0, steps = StepsOr(50'000); step < steps; ++step) {
    driver.Step();
    ASSERT_EQ(driver.FindViolation(), std::nullopt) << "step " << step;
  }
  EXPECT_GT(driver.copies(), 1000) << "the steps came to what they are for";
  EXPECT_GT(driver.came_back(), 1000);
  EXPECT_GT(driver.moved(), 100);
  EXPECT_GT(driver.cache().LastEvent(), 1000);
  EXPECT_GT(driver.tier().counts().copied_in, Blocks(100));
}

std::string NameOfKind(const testing::TestParamInfo<Kind>& kind) {
  const auto& [eviction, chunk] = kind.param;
  return std::string(NameOf(eviction)) + (chunk > Blocks(0) ? "_lowest" : "");
}

INSTANTIATE_TEST_SUITE_P(Kinds, WholeCacheProperty,
                         testing::Values(Kind(Eviction::kLru, 0), Kind(Eviction::kLru, 4),
                                         Kind(Eviction::kFifo, 0), Kind(Eviction::kLearned, 0)),
                         NameOfKind);

}  // namespace
}  // namespace plimsoll
