// Cached blocks in a pool of slabs: what they count for, and what goes first.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kvcache/pool/age_heap.h"
#include "kvcache/pool/slab_pool.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

// A slab of 100 bytes has ten blocks of the first group, three of the second, one of the third.
const std::vector<Bytes> kSizes = {Bytes(10), Bytes(33), Bytes(100)};
const std::vector<int64_t> kPerSlab = {10, 3, 1};

SlabPool PoolOf(int64_t slabs) {
  auto pool = SlabPool::Create({.slab_bytes = Bytes(100), .slabs = slabs, .block_bytes = kSizes});
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

bool Reserve(SlabPool& pool, int64_t a, int64_t b, int64_t c) {
  return pool.Reserve(std::vector<Blocks>{Blocks(a), Blocks(b), Blocks(c)});
}

TEST(SlabCaching, WhatIsCachedIsRoomForAllGroups) {
  SlabPool pool = PoolOf(2);
  ASSERT_TRUE(Reserve(pool, 2, 3, 0));
  const BlockId first = *pool.Take(0), second = *pool.Take(0);
  for (int i = 0; i < 3; ++i) pool.Keep(1, *pool.Take(1));
  EXPECT_EQ(pool.counts(1).cached, Blocks(3));
  EXPECT_EQ(pool.SpareSlabs(), 1);
  EXPECT_TRUE(Reserve(pool, 0, 0, 1)) << "the second slab is only cached";
  EXPECT_FALSE(Reserve(pool, 0, 1, 0)) << "and promised now";
  EXPECT_EQ(pool.Take(2), std::nullopt) << "but not empty yet";
  for (int i = 0; i < 3; ++i) {
    const GroupBlock victim = *pool.Victim(2);
    EXPECT_EQ(victim.group, 1u);
    pool.Drop(victim.group, victim.block);
  }
  EXPECT_TRUE(pool.Take(2).has_value());
  pool.Keep(0, first);
  EXPECT_EQ(pool.Oldest()->block, first);
  EXPECT_EQ(pool.Victim(0)->block, first);
  EXPECT_EQ(pool.Victim(2, Stay::kInTurn), std::nullopt) << "its slab has a live block";
  pool.Keep(0, second);
  EXPECT_EQ(pool.Victim(2, Stay::kInTurn)->block, first);
  EXPECT_EQ(pool.FindViolation(), std::nullopt);
}

// Two blocks in two slabs that are otherwise empty: holding both leaves no slab for the third
// group.
TEST(SlabCaching, HoldingWhatIsCachedPinsItsSlab) {
  SlabPool pool = PoolOf(2);
  ASSERT_TRUE(Reserve(pool, 11, 0, 0));
  std::vector<GroupBlock> blocks;
  for (int i = 0; i < 11; ++i) blocks.push_back({0, *pool.Take(0)});
  for (const auto& [group, block] : blocks) pool.Keep(group, block);
  const std::vector<GroupBlock> held = {blocks[0], blocks[10]};
  const std::vector<Blocks> state = {Blocks(0), Blocks(0), Blocks(1)};
  EXPECT_FALSE(pool.HoldAndReserve(held, state));
  EXPECT_TRUE(pool.IsCached(0, blocks[0].block)) << "nothing changed";
  EXPECT_EQ(pool.Oldest()->block, blocks[0].block);
  EXPECT_TRUE(pool.HoldAndReserve(std::span(held).first(1), state));
  EXPECT_EQ(pool.Holders(0, blocks[0].block), 1);
  EXPECT_EQ(pool.Victim(2)->block, blocks[10].block) << "the other slab";
  EXPECT_EQ(pool.FindViolation(), std::nullopt);
}

TEST(SlabCachingDeathTest, MisuseAborts) {
  SlabPool pool = PoolOf(1);
  ASSERT_TRUE(Reserve(pool, 10, 0, 0));
  const BlockId block = *pool.Take(0);
  EXPECT_DEATH(pool.Drop(0, block), "check failed") << "it is live";
  EXPECT_DEATH(pool.ReserveAgain(0), "check failed") << "nothing was given up";
  pool.Keep(0, block);
  EXPECT_DEATH(pool.Keep(0, block), "check failed");
  EXPECT_DEATH(pool.Share(0, block), "check failed");
  EXPECT_DEATH(AgeHeap(3).top(), "check failed");
}

TEST(AgeHeap, TellsTheOldestOfMany) {
  std::mt19937 random(static_cast<uint32_t>(testing::UnitTest::GetInstance()->random_seed()));
  AgeHeap heap(50);
  std::map<int32_t, uint64_t> ages;
  for (int step = 0; step < 20000; ++step) {
    const auto number = static_cast<int32_t>(random() % 50);
    if (random() % 3 == 0) {
      heap.Erase(number);
      ages.erase(number);
    } else {
      heap.Set(number, ages[number] = random() % 1000 * 50 + static_cast<uint64_t>(number));
    }
    ASSERT_EQ(heap.empty(), ages.empty());
    if (ages.empty()) continue;
    const auto oldest = std::min_element(ages.begin(), ages.end(),
                                         [](auto& a, auto& b) { return a.second < b.second; });
    ASSERT_EQ(heap.top(), oldest->first);
    ASSERT_EQ(heap.top_age(), oldest->second);
  }
}

// The pool in plain maps: where each block is, and when it was let go.
class PoolAndModel {
 public:
  explicit PoolAndModel(uint32_t seed) : random_(seed) {}

  void Step() {
    const auto group = static_cast<size_t>(Upto(2));
    const int64_t what = Upto(11);
    if (what == 0) return Reserve();
    if (what == 1) return Hold();
    if (what == 2) return LetGo(false);
    if (what < 7) return LetGo(true);
    what == 7 ? TakeCached(group) : Take(group);
  }
  void Compare() const {
    ASSERT_EQ(pool_.FindViolation(), std::nullopt);
    for (size_t g = 0; g < 3; ++g) {
      ASSERT_EQ(pool_.counts(g).reserved, reserved_[g]);
      for (const auto cached : kCases) {
        const auto victim = pool_.Victim(g, cached);
        const auto expected = Victim(g, cached);
        ASSERT_EQ(victim.has_value(), expected.has_value()) << g;
        if (!victim) continue;
        ASSERT_EQ(std::pair(victim->group, victim->block), *expected) << g;
      }
    }
  }
  int64_t dropped() const { return dropped_; }

 private:
  static constexpr int64_t kSlabs = 7;
  static constexpr uint64_t kInTurn = 1'000'000'000'000;
  static constexpr std::optional<Stay> kCases[] = {std::nullopt, Stay::kInTurn, Stay::kWhileRoom};
  using Name = std::pair<size_t, BlockId>;
  struct Block {
    int holders;    // 0: cached
    uint64_t used;  // when it was let go
  };

  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }
  Stay SomeStay() { return Upto(1) == 0 ? Stay::kInTurn : Stay::kWhileRoom; }
  // What stays in its turn is later than all that does not.
  uint64_t Later(Stay stay) { return ++now_ + (stay == Stay::kInTurn ? kInTurn : 0); }
  static int64_t SlabOf(const Name& name) { return name.second.index() / kPerSlab[name.first]; }
  bool IsPinned(int64_t slab) const {
    return std::any_of(blocks_.begin(), blocks_.end(), [&](const auto& each) {
      return SlabOf(each.first) == slab && each.second.holders > 0;
    });
  }
  // Slabs that the group lacks beside those where it has live blocks.
  int64_t Lacks(size_t group) const {
    std::set<int64_t> pinned;
    int64_t live = 0;
    for (const auto& [name, block] : blocks_) {
      if (name.first != group || block.holders == 0) continue;
      pinned.insert(SlabOf(name));
      ++live;
    }
    const int64_t room = std::ssize(pinned) * kPerSlab[group] - live;
    const int64_t lacking = std::max<int64_t>(0, reserved_[group].value() - room);
    return (lacking + kPerSlab[group] - 1) / kPerSlab[group];
  }
  bool MayPin(size_t group) const {
    int64_t spare = kSlabs;
    for (int64_t slab = 0; slab < kSlabs; ++slab) spare -= IsPinned(slab) ? 1 : 0;
    for (size_t g = 0; g < 3; ++g) spare -= Lacks(g);
    return Lacks(group) > 0 || spare > 0;
  }
  // The group's oldest, in a slab that it may use; or the oldest of a slab that is older as a
  // whole.
  std::optional<Name> Victim(size_t group, std::optional<Stay> cached) const {
    const bool any_slab = cached || MayPin(group);
    std::optional<Name> victim;
    uint64_t oldest = UINT64_MAX;
    for (const auto& [name, block] : blocks_) {
      if (name.first != group || block.holders > 0 || block.used >= oldest) continue;
      if (!any_slab && !IsPinned(SlabOf(name))) continue;
      victim = name;
      oldest = block.used;
    }
    if (!any_slab) return victim;
    for (int64_t slab = 0; slab < kSlabs; ++slab) {
      if (IsPinned(slab)) continue;
      std::optional<Name> first;
      uint64_t latest = 0, earliest = UINT64_MAX;
      for (const auto& [name, block] : blocks_) {
        if (SlabOf(name) != slab) continue;
        latest = std::max(latest, block.used);
        if (block.used < earliest) first = name;
        earliest = std::min(earliest, block.used);
      }
      if (!first || latest >= oldest) continue;
      victim = first;
      oldest = latest;
    }
    if (cached == Stay::kWhileRoom && oldest > kInTurn) return std::nullopt;
    return victim;
  }

  void Reserve() {
    const std::vector<Blocks> more = {Blocks(Upto(9)), Blocks(Upto(3)), Blocks(Upto(1))};
    if (!pool_.Reserve(more)) {
      for (size_t g = 0; g < 3; ++g) pool_.Forgo(g, reserved_[g]);
      reserved_.assign(3, Blocks(0));
      return;
    }
    for (size_t g = 0; g < 3; ++g) reserved_[g] += more[g];
  }
  void Drop(const GroupBlock& victim) {
    ++dropped_;
    pool_.Drop(victim.group, victim.block);
    ASSERT_EQ(blocks_.erase({victim.group, victim.block}), 1u);
  }
  void Take(size_t group) {
    if (reserved_[group] == Blocks(0)) return;
    std::optional<BlockId> block;
    while (!(block = pool_.Take(group))) Drop(*pool_.Victim(group));
    reserved_[group] -= Blocks(1);
    ASSERT_TRUE(blocks_.insert({{group, *block}, {1, 0}}).second);
  }
  void TakeCached(size_t group) {
    std::optional<BlockId> block;
    const Stay stay = SomeStay();
    while (!(block = pool_.TakeCached(group, stay))) {
      const auto victim = pool_.Victim(group, stay);
      if (!victim) return;
      Drop(*victim);
    }
    ASSERT_TRUE(blocks_.insert({{group, *block}, {0, Later(stay)}}).second);
  }
  void LetGo(bool keep) {
    if (blocks_.empty()) return;
    const auto found = std::next(blocks_.begin(), Upto(std::ssize(blocks_) - 1));
    auto& [name, block] = *found;
    if (block.holders == 0) return;
    const Stay stay = SomeStay();
    keep ? pool_.Keep(name.first, name.second, stay) : pool_.Release(name.first, name.second);
    if (--block.holders > 0) return;
    block.used = Later(stay);
    if (!keep) blocks_.erase(found);
  }
  void Hold() {
    std::vector<GroupBlock> held;
    for (const auto& [name, block] : blocks_) {
      if (Upto(11) == 0) held.push_back({name.first, name.second});
    }
    const std::vector<Blocks> none(3);
    if (!pool_.HoldAndReserve(held, none)) return;
    for (const auto& [group, block] : held) ++blocks_.at({group, block}).holders;
  }

  std::mt19937 random_;
  SlabPool pool_ = PoolOf(kSlabs);
  std::map<Name, Block> blocks_;
  std::vector<Blocks> reserved_ = std::vector<Blocks>(3);
  uint64_t now_ = 0;
  int64_t dropped_ = 0;
};

TEST(SlabCachingProperty, WhatGoesIsWhatWasLastUsedLongestAgo) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  PoolAndModel both(static_cast<uint32_t>(seed));
  StepAndCompare(both, StepsOr(20000));
  ASSERT_FALSE(HasFailure());
  EXPECT_GT(both.dropped(), 100);
}

}  // namespace
}  // namespace plimsoll
