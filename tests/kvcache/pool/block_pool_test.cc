#include "kvcache/pool/block_pool.h"

#include <gmock/gmock.h>

#include <limits>
#include <map>
#include <random>
#include <set>

#include "tests/kvcache/pool/random_steps.h"
#include "tests/support/thread_sanitizer.h"

namespace plimsoll {
namespace {

BlockPool PoolOf(int64_t blocks) {
  absl::StatusOr<BlockPool> pool = BlockPool::Create(Blocks(blocks));
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

TEST(BlockPool, GivesEachBlockOnceAndThenNone) {
  BlockPool pool = PoolOf(3);
  std::set<BlockId> taken;
  for (int i = 0; i < 3; ++i) taken.insert(*pool.TryAcquire());
  EXPECT_EQ(taken, (std::set<BlockId>{BlockId(0), BlockId(1), BlockId(2)}));
  EXPECT_EQ(pool.TryAcquire(), std::nullopt);
  EXPECT_EQ(pool.free(), Blocks(0));
  EXPECT_EQ(pool.used(), Blocks(3));
}

TEST(BlockPool, ReusesTheLatestReleasedFirst) {
  BlockPool pool = PoolOf(8);
  std::vector<BlockId> taken;
  ASSERT_TRUE(pool.TryAcquire(Blocks(3), taken));
  pool.Release(BlockId(0));
  pool.Release(BlockId(2));
  EXPECT_EQ(pool.TryAcquire(), BlockId(2));
  EXPECT_EQ(pool.TryAcquire(), BlockId(0));
  EXPECT_EQ(pool.TryAcquire(), BlockId(3)) << "then one that was never taken";
}

TEST(BlockPool, TakesManyOrNone) {
  BlockPool pool = PoolOf(4);
  std::vector<BlockId> taken = {BlockId(99)};
  EXPECT_FALSE(pool.TryAcquire(Blocks(5), taken));
  EXPECT_EQ(taken.size(), 1u);
  EXPECT_EQ(pool.free(), Blocks(4));
  EXPECT_TRUE(pool.TryAcquire(Blocks(4), taken));
  EXPECT_EQ(taken.size(), 5u);
  EXPECT_TRUE(pool.TryAcquire(Blocks(0), taken));
}

TEST(BlockPool, ASharedBlockIsFreeAfterItsLastRelease) {
  BlockPool pool = PoolOf(1);
  const BlockId id = *pool.TryAcquire();
  pool.Share(id);
  EXPECT_EQ(pool.References(id), 2);
  pool.Release(id);
  EXPECT_EQ(pool.free(), Blocks(0));
  pool.Release(id);
  EXPECT_EQ(pool.free(), Blocks(1));
  EXPECT_EQ(pool.References(id), 0);
}

TEST(BlockPool, CountsTheLargestPoolWithoutTouchingItsMemory) {
  if (kUnderThreadSanitizer) GTEST_SKIP() << "the thread sanitizer touches it";
  BlockPool pool = PoolOf(std::numeric_limits<int32_t>::max());
  EXPECT_EQ(pool.TryAcquire(), BlockId(0));
  EXPECT_EQ(pool.FindViolation(), std::nullopt);
}

TEST(BlockPool, RefusesACapacityOutOfRange) {
  for (const int64_t blocks : {int64_t{0}, int64_t{1} << 31, INT64_MAX}) {
    EXPECT_EQ(BlockPool::Create(Blocks(blocks)).status().code(), absl::StatusCode::kInvalidArgument)
        << blocks;
  }
}

TEST(BlockPoolDeathTest, MisuseAborts) {
  BlockPool pool = PoolOf(2);
  const BlockId id = *pool.TryAcquire();
  pool.Release(id);
  EXPECT_DEATH(pool.Release(id), "check failed.*block 0");
  EXPECT_DEATH(pool.Share(id), "check failed.*block 0");
  EXPECT_DEATH(pool.Release(BlockId(1)), "check failed.*block 1");
  EXPECT_DEATH(pool.Release(BlockId(2)), "check failed.*block 2 2");
  EXPECT_DEATH(pool.References(BlockId(7)), "check failed.*block 7 2");
}

// The simplest thing that could stand for a pool: how often each block is held.
struct PoolAndModel {
  static constexpr int64_t kCapacity = 8;  // small: often runs dry
  BlockPool pool = PoolOf(kCapacity);
  std::map<BlockId, int> model;

  Blocks ModelFree() const { return Blocks(kCapacity - std::ssize(model)); }
  BlockId AnyHeld(std::mt19937& random) const {
    return std::next(model.begin(), static_cast<int64_t>(random() % model.size()))->first;
  }
  void Take(BlockId id) { EXPECT_TRUE(model.emplace(id, 1).second) << id; }
  void Acquire(Blocks n) {
    std::vector<BlockId> ids;
    EXPECT_EQ(pool.TryAcquire(n, ids), n <= ModelFree());
    for (const BlockId id : ids) Take(id);
  }
  void Share(BlockId id) {
    pool.Share(id);
    ++model[id];
  }
  void Release(BlockId id) {
    pool.Release(id);
    if (--model[id] == 0) model.erase(id);
  }
};

TEST(BlockPoolProperty, AgreesWithTheModelAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  PoolAndModel both;
  for (int64_t step = 0, steps = StepsOr(100'000); step < steps; ++step) {
    const auto dice = both.model.empty() ? 0 : random() % 4;
    if (dice == 0) both.Acquire(Blocks(static_cast<int64_t>(random() % 5)));
    if (dice == 1) both.Share(both.AnyHeld(random));
    if (dice >= 2) both.Release(both.AnyHeld(random));
    ASSERT_EQ(both.pool.free(), both.ModelFree()) << "step " << step;
    ASSERT_EQ(both.pool.FindViolation(), std::nullopt) << "step " << step;
    for (const auto& [id, references] : both.model) {
      ASSERT_EQ(both.pool.References(id), references) << "step " << step;
    }
  }
}

}  // namespace
}  // namespace plimsoll
