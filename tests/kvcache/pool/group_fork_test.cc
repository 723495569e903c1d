// Forks of sequences of models whose layers keep different things, worked by hand.
#include <gmock/gmock.h>

#include <vector>

#include "tests/kvcache/pool/group_prompts.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;

TEST(GroupSharing, AForkSharesWhatIsNamedAndCopiesTheRest) {
  GroupEngine engine(Options({kFull, kWindow, kState}, 60));
  const SequenceId id = *engine.Begin("a", CountUp(60), 10);
  engine.RunTo(id, 30);
  const SequenceId fork = *engine.Fork(id, CountUp(20, 500));
  const SlabPool& pool = engine.cache().pool();
  EXPECT_EQ(pool.counts(0).live, Blocks(7 + 2)) << "the last block is part full";
  EXPECT_EQ(pool.counts(1).live, Blocks(4 + 2)) << "of 4 from token 13 on";
  EXPECT_EQ(pool.counts(2).live, Blocks(2));
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
  engine.RunTo(fork, 50);
  engine.RunTo(id, 60);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
  engine.End(id);
  engine.Check(fork);
  EXPECT_EQ(Found(engine, Branch(28, 60)), 8) << "the checkpoint of the prompt";
}

// The first sequence takes over the other's first block and names its own second. Had the fork the
// second in common with it, but not the first, that could not go when the room of the first is
// needed.
TEST(GroupSharing, AForkHasItsOwnOfWhatIsFullAndNotNamedYet) {
  GroupEngine engine(Options({kFull}, 3));
  GroupCache& cache = engine.cache();
  const std::vector<int32_t> tokens = CountUp(8);
  const SequenceId other = cache.BeginWith({"a", {}}, Tokens(8))->id;
  const SequenceId id = cache.BeginWith({"a", {}}, Tokens(8))->id;
  for (const SequenceId each : {other, id, other, id}) cache.Append(each, Tokens(4));
  cache.Name(other, engine.Names(tokens, 0, 4));
  const GroupStart fork = *cache.Fork(id, Tokens(8));
  EXPECT_EQ(fork.copies.size(), 2u);
  cache.Name(id, engine.Names(tokens, 0, 8));
  cache.End(id);
  cache.End(other);
  const SequenceId large = cache.BeginWith({"b", {}}, Tokens(64))->id;
  for (int i = 0; i < 16; ++i) cache.Append(large, Tokens(4));
  EXPECT_EQ(cache.pool().counts(0).cached, Blocks(0));
  EXPECT_EQ(cache.FindViolation(), std::nullopt);
}

TEST(GroupSharing, WithoutNamesAForkSharesWhatIsFull) {
  GroupCacheOptions options = Options({kFull}, 3);
  options.sharing.reset();
  const auto cache = *GroupCache::Create(options);
  const SequenceId id = *cache->Begin(Tokens(12));
  for (int i = 0; i < 3; ++i) cache->Append(id, Tokens(3));
  const GroupStart fork = *cache->Fork(id, Tokens(68));
  EXPECT_THAT(fork.copies, ElementsAre(GroupCopy{0, cache->Table(id, 0).blocks[2],
                                                 cache->Table(fork.id, 0).blocks[2]}));
  EXPECT_EQ(cache->pool().counts(0).live, Blocks(4));
  EXPECT_EQ(cache->EarliestLength(id), Tokens(8)) << "the other reads what is before";
  EXPECT_EQ(cache->EarliestLength(fork.id), Tokens(8));
  EXPECT_EQ(cache->Fork(id, Tokens(12)), std::nullopt) << "not a block is left";
  EXPECT_EQ(cache->sequences(), 2);
  cache->End(id);
  EXPECT_EQ(cache->FindViolation(), std::nullopt);
  EXPECT_DEATH(cache->Fork(fork.id, Tokens(8)), "check failed.*sequence 1 8 9");
}

TEST(GroupSharing, ForksOfAWindowBothGrowAsFarAsTheyWerePromised) {
  GroupCacheOptions options = Options({kFull, kWindow}, 40);
  options.sharing.reset();
  const auto cache = *GroupCache::Create(options);
  const SequenceId id = *cache->Begin(Tokens(60));
  for (int i = 0; i < 5; ++i) cache->Append(id, Tokens(4));
  const SequenceId fork = cache->Fork(id, Tokens(100))->id;
  EXPECT_EQ(cache->pool().counts(1).live, Blocks(5));
  EXPECT_EQ(cache->pool().counts(1).reserved, Blocks(1 + 1 + 5))
      << "five in the place of shared ones";
  for (int i = 0; i < 20; ++i) {
    cache->Append(fork, Tokens(4));
    if (i < 10) cache->Append(id, Tokens(4));
    ASSERT_EQ(cache->FindViolation(), std::nullopt) << i;
  }
  cache->End(id);
  cache->End(fork);
  EXPECT_EQ(cache->pool().free_slabs(), 40);
}

}  // namespace
}  // namespace plimsoll
