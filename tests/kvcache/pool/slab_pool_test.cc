#include "kvcache/pool/slab_pool.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

// A slab of 100 bytes has ten blocks of the first group, or three of the second.
SlabPool PoolOf(int64_t slabs, std::vector<Bytes> block_bytes = {Bytes(10), Bytes(33)}) {
  auto pool = SlabPool::Create(
      {.slab_bytes = Bytes(100), .slabs = slabs, .block_bytes = std::move(block_bytes)});
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

bool Reserve(SlabPool& pool, int64_t first, int64_t second) {
  return pool.Reserve(std::vector<Blocks>{Blocks(first), Blocks(second)});
}

// Without cached blocks.
GroupCounts CountsOf(int64_t slabs, int64_t live, int64_t free, int64_t reserved, int64_t each) {
  return {.slabs = slabs,
          .pinned = slabs,
          .live = Blocks(live),
          .free = Blocks(free),
          .reserved = Blocks(reserved),
          .blocks_per_slab = Blocks(each)};
}

TEST(SlabPool, SlabsGoToTheGroupThatNeedsThemAndComeBack) {
  SlabPool pool = PoolOf(3);
  ASSERT_TRUE(Reserve(pool, 11, 3));
  EXPECT_FALSE(Reserve(pool, 10, 0)) << "nine are left in the second slab";
  EXPECT_TRUE(Reserve(pool, 9, 0));
  EXPECT_EQ(pool.free_slabs(), 3) << "they are given out when blocks are taken";
  const BlockId wide = *pool.Take(1);
  EXPECT_EQ(pool.counts(1), CountsOf(1, 1, 2, 2, 3));
  const BlockId narrow = *pool.Take(0);
  EXPECT_EQ(pool.counts(0), CountsOf(1, 1, 9, 19, 10));
  EXPECT_EQ(pool.free_slabs(), 1);
  EXPECT_EQ(pool.OffsetOf(1, wide), Bytes(0));
  EXPECT_EQ(pool.OffsetOf(0, narrow), Bytes(100));
  EXPECT_EQ(pool.OffsetOf(1, *pool.Take(1)), Bytes(33));

  pool.Release(0, narrow);
  pool.ReserveAgain(0);
  EXPECT_EQ(pool.counts(0), CountsOf(0, 0, 0, 20, 10)) << "it is reserved again";
  pool.Forgo(0, Blocks(20));
  EXPECT_EQ(pool.free_slabs(), 2);
  EXPECT_TRUE(Reserve(pool, 0, 6));
  EXPECT_FALSE(Reserve(pool, 1, 0));
}

TEST(SlabPool, RefusesOptionsByName) {
  const auto message = [](int64_t slabs, Bytes block_bytes) {
    const auto pool = SlabPool::Create(
        {.slab_bytes = Bytes(1 << 20), .slabs = slabs, .block_bytes = {block_bytes}});
    EXPECT_EQ(pool.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(pool.status().message());
  };
  EXPECT_THAT(message(0, Bytes(8)), HasSubstr("slabs=0"));
  EXPECT_THAT(message(int64_t{1} << 31, Bytes(8)), HasSubstr("slabs=2147483648"));
  EXPECT_THAT(message(1 << 14, Bytes(8)), HasSubstr("slabs=16384")) << "2^31 blocks";
  EXPECT_THAT(message(1, Bytes(0)), HasSubstr("block_bytes=0"));
  EXPECT_THAT(message(1, Bytes((1 << 20) + 1)), HasSubstr("block_bytes=1048577"));
}

TEST(SlabPoolDeathTest, MisuseAborts) {
  SlabPool pool = PoolOf(2);
  EXPECT_DEATH(pool.Take(0), "check failed");
  EXPECT_DEATH(pool.Forgo(0, Blocks(1)), "check failed");
  ASSERT_TRUE(Reserve(pool, 1, 1));
  const BlockId block = *pool.Take(0);
  EXPECT_DEATH(pool.Release(1, block), "check failed") << "another group's";
  EXPECT_DEATH(pool.Release(0, BlockId(block.index() + 1)), "check failed") << "never taken";
  EXPECT_DEATH(pool.Release(0, BlockId(25)), "check failed") << "beyond the pool";
  pool.Release(0, block);
  EXPECT_DEATH(pool.Release(0, block), "check failed") << "twice";
}

// In plain numbers: the bytes of each block that is held, none of which may lie in another.
TEST(SlabPoolProperty, BlocksNeverOverlapAndWhatIsReservedCanBeTaken) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const auto upto = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n + 1));
  };
  const std::vector<Bytes> sizes = {Bytes(10), Bytes(33), Bytes(100)};
  SlabPool pool = PoolOf(9, sizes);
  std::vector<std::vector<BlockId>> held(3);
  std::vector<Blocks> reserved(3);
  std::map<Bytes, Bytes> taken;  // from the first byte to one past the last
  for (int64_t step = 0; step < StepsOr(100000); ++step) {
    const auto group = static_cast<size_t>(upto(2));
    const int64_t what = upto(4);
    if (what == 0) {
      const std::vector<Blocks> more = {Blocks(upto(12)), Blocks(upto(4)), Blocks(upto(1))};
      const bool fits = pool.CanReserve(more);
      ASSERT_EQ(pool.Reserve(more), fits);
      for (size_t i = 0; fits && i < 3; ++i) reserved[i] += more[i];
    } else if (what <= 2 && reserved[group] > Blocks(0)) {
      const BlockId block = *pool.Take(group);
      reserved[group] -= Blocks(1);
      held[group].push_back(block);
      const Bytes first = pool.OffsetOf(group, block);
      const auto after = taken.lower_bound(first);
      ASSERT_TRUE(after == taken.end() || first + sizes[group] <= after->first);
      ASSERT_TRUE(after == taken.begin() || std::prev(after)->second <= first);
      taken[first] = first + sizes[group];
      ASSERT_LE(taken[first], Bytes(900));
    } else if (what == 3 && !held[group].empty()) {
      std::swap(held[group][static_cast<size_t>(upto(std::ssize(held[group]) - 1))],
                held[group].back());
      taken.erase(pool.OffsetOf(group, held[group].back()));
      const bool again = upto(1) == 0;
      pool.Release(group, held[group].back());
      if (again) pool.ReserveAgain(group);
      reserved[group] += Blocks(again ? 1 : 0);
      held[group].pop_back();
    } else if (what == 4) {
      const Blocks some(upto(reserved[group].value()));
      pool.Forgo(group, some);
      reserved[group] -= some;
    }
    ASSERT_EQ(pool.counts(group).reserved, reserved[group]);
    ASSERT_EQ(pool.counts(group).live, Blocks(std::ssize(held[group])));
    ASSERT_EQ(pool.FindViolation(), std::nullopt) << "step " << step;
  }
}

}  // namespace
}  // namespace plimsoll
