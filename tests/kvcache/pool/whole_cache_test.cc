// Everything a cache can do, in any order, with every policy.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/kvcache/pool/cache_driver.h"

namespace plimsoll {
namespace {

class WholeCacheProperty : public testing::TestWithParam<Eviction> {};

TEST_P(WholeCacheProperty, NothingIsLostWhateverComes) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  CacheDriver driver(GetParam(), [&](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
  });
  for (int step = 0; step < 50000; ++step) {
    driver.Step();
    ASSERT_EQ(driver.FindViolation(), std::nullopt) << "step " << step;
  }
  EXPECT_GT(driver.copies(), 1000) << "the steps came to what they are for";
  EXPECT_GT(driver.came_back(), 1000);
  EXPECT_GT(driver.cache().LastEvent(), 1000);
  EXPECT_GT(driver.tier().counts().copied_in, Blocks(100));
}

INSTANTIATE_TEST_SUITE_P(Policies, WholeCacheProperty,
                         testing::Values(Eviction::kLru, Eviction::kFifo, Eviction::kLearned),
                         [](const auto& policy) { return std::string(NameOf(policy.param)); });

}  // namespace
}  // namespace plimsoll
