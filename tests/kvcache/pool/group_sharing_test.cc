// Prefixes shared by models whose layers keep different things, worked by hand.
#include <gmock/gmock.h>

#include <vector>

#include "kvcache/pool/group_cache.h"
#include "tests/kvcache/pool/group_prompts.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

inline void Serve(GroupEngine& engine, const std::vector<int32_t>& tokens, int64_t prompt) {
  const auto id = engine.Begin("a", tokens, prompt);
  ASSERT_TRUE(id.has_value());
  engine.RunTo(*id, std::ssize(tokens));
  engine.End(*id);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}
TEST(GroupSharing, FullAttentionAndAWindowAreFoundTogether) {
  GroupEngine engine(Options({kFull, kWindow}, 60));
  Serve(engine, CountUp(40), 40);
  EXPECT_EQ(Found(engine, CountUp(40)), 40);
  EXPECT_EQ(Found(engine, CountUp(43)), 40) << "only full blocks are shared";
  EXPECT_EQ(Found(engine, Branch(22, 40)), 20) << "blocks behind the window are kept too";
  EXPECT_EQ(Found(engine, CountUp(40), "b"), 0) << "another tenant's";

  const SequenceId id = *engine.Begin("a", Branch(36, 60), 60);
  EXPECT_EQ(engine.cache().Length(id), Tokens(36));
  EXPECT_EQ(engine.cache().Table(id, 0).blocks.size(), 9u);
  EXPECT_EQ(engine.cache().Table(id, 1).first, 5) << "token 36 attends to tokens 21 to 36";
  EXPECT_EQ(engine.cache().Table(id, 1).blocks.size(), 4u);
  EXPECT_EQ(engine.cache().pool().counts(0).live, Blocks(9));
  EXPECT_EQ(engine.cache().pool().counts(1).cached, Blocks(6));
  engine.RunTo(id, 60);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

// The window's blocks in front are older than all, and go first; then only a prompt that goes on
// further finds anything.
TEST(GroupSharing, AHitEndsWhereTheWindowIsStillThere) {
  GroupEngine engine(Options({kFull, kWindow}, 2 + 4));
  Serve(engine, CountUp(32), 32);
  EXPECT_EQ(Found(engine, Branch(8, 40)), 8);
  const auto id = engine.Begin("b", CountUp(4), 4);
  ASSERT_TRUE(id.has_value());
  engine.RunTo(*id, 4);
  EXPECT_EQ(Found(engine, CountUp(32)), 32) << "its last four blocks are there";
  EXPECT_EQ(Found(engine, Branch(8, 40)), 0) << "block 0 of the window is not";
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

// Both prompts of 16 blocks have eight in common, and the pool is full with them: blocks 4 to 7
// serve whoever parts there, and the last five of each prompt whoever goes on after it.
TEST(GroupSharing, WhatServesWherePromptsPartedStaysLongest) {
  GroupEngine engine(Options({kWindow}, 12));
  Serve(engine, CountUp(64), 64);
  Serve(engine, Branch(32, 64), 64);
  EXPECT_EQ(engine.cache().pool().counts(0).cached, Blocks(24));
  std::vector<int32_t> third = CountUp(40), fourth = CountUp(40);
  for (size_t i = 24; i < third.size(); ++i) third[i] += 5000;
  for (size_t i = 32; i < fourth.size(); ++i) fourth[i] += 5000;
  EXPECT_EQ(Found(engine, third), 24) << "nothing had to go yet";
  for (const int64_t blocks : {4, 4, 2}) {
    const SequenceId other = *engine.cache().Begin(Tokens(4 * blocks));
    for (int64_t i = 0; i < blocks; ++i) engine.cache().Append(other, Tokens(4));
  }
  EXPECT_EQ(engine.cache().pool().counts(0).cached, Blocks(4 + 5 + 5));
  EXPECT_EQ(Found(engine, third), 0) << "blocks 2 and 3 were only behind the window";
  EXPECT_EQ(Found(engine, fourth), 32);
  EXPECT_EQ(Found(engine, CountUp(64)), 64);
  EXPECT_EQ(Found(engine, Branch(32, 64)), 64);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

TEST(GroupSharing, WhoSharesAWindowIsPromisedOneOfItsOwn) {
  GroupEngine engine(Options({kWindow}, 5));
  EXPECT_THAT(engine.cache().Needed(Tokens(100)), ElementsAre(Blocks(6)));
  const SequenceId first = *engine.Begin("a", CountUp(100), 16);
  engine.RunTo(first, 16);
  EXPECT_EQ(engine.Begin("a", CountUp(100), 16), std::nullopt)
      << "four blocks are the same now, and twelve in all later";
  engine.End(first);
  const SequenceId second = *engine.Begin("a", CountUp(100), 16);
  EXPECT_EQ(engine.cache().Length(second), Tokens(16));
  EXPECT_EQ(engine.cache().pool().counts(0).reserved, Blocks(2));
  engine.RunTo(second, 100);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

TEST(GroupSharing, TwoThatShareAWindowBothGrowAsFarAsTheyWerePromised) {
  GroupEngine engine(Options({kWindow}, 6));
  const SequenceId first = *engine.Begin("a", CountUp(100), 16);
  engine.RunTo(first, 16);
  const SequenceId second = *engine.Begin("a", Branch(16, 100), 16);
  EXPECT_EQ(engine.cache().pool().counts(0).live, Blocks(4));
  EXPECT_EQ(engine.cache().pool().counts(0).reserved, Blocks(8));
  engine.RunTo(second, 100);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
  engine.RunTo(first, 100);
  EXPECT_EQ(engine.cache().pool().counts(0).live, Blocks(10));
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

TEST(GroupSharing, AStateIsCopiedFromACheckpointAtTheEndOfThePrompt) {
  GroupEngine engine(Options({kFull, kState}, 20));
  const SequenceId first = *engine.Begin("a", CountUp(30), 12);
  engine.RunTo(first, 8);
  EXPECT_EQ(Found(engine, CountUp(30)), 0) << "no checkpoint yet";
  const auto copies = engine.Run(first, 4);
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_EQ(copies[0].from, engine.cache().Table(first, 1).blocks[0]);
  EXPECT_EQ(Found(engine, CountUp(30)), 12);
  engine.RunTo(first, 30);
  EXPECT_EQ(Found(engine, CountUp(30)), 12) << "generated tokens have no checkpoint here";
  EXPECT_EQ(engine.cache().pool().counts(1).live, Blocks(1));
  EXPECT_EQ(engine.cache().pool().counts(1).cached, Blocks(1));

  const SequenceId second = *engine.Begin("a", Branch(12, 30), 30);
  EXPECT_EQ(engine.cache().Length(second), Tokens(12));
  EXPECT_EQ(engine.cache().pool().counts(1).live, Blocks(2)) << "a copy of its own";
  EXPECT_EQ(engine.cache().pool().counts(0).live, Blocks(8)) << "three are shared";
  engine.RunTo(second, 30);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

TEST(GroupSharing, CheckpointsAreTakenEverySoManyTokens) {
  GroupEngine engine(Options({kFull, kState}, 20, 8));
  Serve(engine, CountUp(22), 20);
  EXPECT_EQ(engine.cache().pool().counts(1).cached, Blocks(3)) << "after 8, 16 and 20 tokens";
  EXPECT_EQ(Found(engine, CountUp(22)), 20);
  EXPECT_EQ(Found(engine, CountUp(19)), 16);
  EXPECT_EQ(Found(engine, CountUp(15)), 8);
}

TEST(GroupSharing, ACheckpointIsTakenWhereAnEarlierPromptWentOnOtherwise) {
  GroupEngine engine(Options({kFull, kState}, 40));
  Serve(engine, CountUp(40), 40);
  const SequenceId id = *engine.Begin("a", Branch(22, 60), 41);
  EXPECT_EQ(engine.cache().Length(id), Tokens(0)) << "the only checkpoint is at 40 tokens";
  EXPECT_EQ(engine.cache().NextCheckpoint(id), Tokens(20));
  engine.RunTo(id, 20);
  EXPECT_EQ(Found(engine, Branch(20, 60)), 20);
  EXPECT_EQ(engine.cache().NextCheckpoint(id), Tokens(40)) << "full blocks of its prompt";
  engine.RunTo(id, 40);
  EXPECT_EQ(engine.cache().NextCheckpoint(id), std::nullopt);
  EXPECT_EQ(engine.cache().pool().counts(1).cached, Blocks(3));
}

// Three states fit: that of the sequence, and two checkpoints.
TEST(GroupSharing, ACheckpointOnTheWayTakesTheRoomOfSuchOnesOnly) {
  GroupEngine engine(Options({kState}, 3, 4));
  Serve(engine, CountUp(4), 4);
  const SequenceId id = *engine.Begin("b", CountUp(40), 40);
  EXPECT_EQ(engine.cache().NextCheckpoint(id), Tokens(4));
  engine.RunTo(id, 8);
  EXPECT_EQ(Found(engine, CountUp(40), "b"), 8);
  EXPECT_EQ(Found(engine, CountUp(4), "b"), 0) << "the one before it had to go";
  EXPECT_EQ(Found(engine, CountUp(4)), 4) << "the end of a prompt did not";
  engine.RunTo(id, 40);
  EXPECT_EQ(Found(engine, CountUp(40), "b"), 40);
}

TEST(GroupSharing, OfTwoStatesOneIsNotCopiedOverTheOther) {
  GroupEngine engine(Options({kState, kState}, 3, 4));
  const SequenceId id = *engine.Begin("a", CountUp(8), 8);
  EXPECT_EQ(engine.Run(id, 4).size(), 1u) << "there is room for one";
  EXPECT_EQ(Found(engine, CountUp(8)), 0) << "and it is of no use alone";
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

// Two states fit: that of the sequence, and one checkpoint.
TEST(GroupSharing, ACheckpointCostsNoPromise) {
  GroupEngine engine(Options({kState}, 2, 4));
  const SequenceId first = *engine.Begin("a", CountUp(40), 40);
  engine.RunTo(first, 4);
  EXPECT_EQ(Found(engine, CountUp(40)), 4);
  const auto second = engine.Begin("b", CountUp(40), 40);
  ASSERT_TRUE(second.has_value()) << "a checkpoint is room";
  engine.RunTo(*second, 1);
  EXPECT_EQ(Found(engine, CountUp(40)), 0) << "it had to go";
  EXPECT_THAT(engine.Run(first, 4), IsEmpty()) << "there is room for no other";
  engine.End(*second);
  EXPECT_EQ(engine.Run(first, 4).size(), 1u);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

TEST(GroupSharing, WithoutRoomForACopyTheCheckpointItselfIsTheState) {
  GroupEngine engine(Options({kState}, 1, 4));
  const SequenceId first = *engine.Begin("a", CountUp(4), 4);
  engine.RunTo(first, 4);
  engine.End(first);
  EXPECT_EQ(Found(engine, CountUp(4)), 0) << "there was no room for a checkpoint";

  GroupEngine two(Options({kState}, 2, 4));
  Serve(two, CountUp(4), 4);
  const SequenceId other = *two.Begin("b", CountUp(8), 8);
  two.RunTo(other, 2);
  EXPECT_EQ(Found(two, CountUp(4)), 4);
  const SequenceId second = *two.Begin("a", CountUp(8), 8);
  EXPECT_EQ(two.cache().Length(second), Tokens(4));
  EXPECT_EQ(Found(two, CountUp(4)), 0);
  EXPECT_EQ(two.cache().FindViolation(), std::nullopt);
  two.RunTo(second, 8);
}

TEST(GroupSharing, LatentsAloneAreSharedLikeAnyBlocks) {
  GroupEngine engine(Options({kLatent}, 2));
  Serve(engine, CountUp(40), 40);
  const SequenceId first = *engine.Begin("a", CountUp(44), 44);
  EXPECT_EQ(engine.cache().Length(first), Tokens(40));
  const SequenceId second = *engine.Begin("a", Branch(20, 44), 44);
  EXPECT_EQ(engine.cache().Length(second), Tokens(20));
  EXPECT_EQ(engine.cache().pool().counts(0).live, Blocks(10));
  EXPECT_EQ(engine.cache().pool().counts(0).reserved, Blocks(7));
}

TEST(GroupSharing, TwoThatComputeTheSameEndUpWithOneOfIt) {
  GroupEngine engine(Options({kFull, kWindow}, 60));
  const SequenceId first = *engine.Begin("a", CountUp(40), 40);
  const SequenceId second = *engine.Begin("a", CountUp(40), 40);
  for (int64_t length = 4; length <= 40; length += 4) {
    engine.RunTo(first, length);
    engine.RunTo(second, length);
    ASSERT_EQ(engine.cache().FindViolation(), std::nullopt);
  }
  EXPECT_EQ(engine.cache().pool().counts(0).live, Blocks(10));
  EXPECT_EQ(engine.cache().pool().counts(1).live, Blocks(5));
  engine.End(first);
  engine.Check(second);
}

// The first blocks of a prompt lead to the rest: with the oldest, which is the last, it gets
// shorter from its end.
TEST(GroupSharing, WhatOthersFollowGoesAfterThem) {
  GroupEngine engine(Options({kFull}, 2));
  Serve(engine, CountUp(48), 48);
  const SequenceId other = *engine.Begin("b", CountUp(12), 12);
  engine.RunTo(other, 12);
  EXPECT_EQ(Found(engine, CountUp(48)), 36);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

// Four slabs: two windows of the first prompt, then full attention. A new sequence needs a state,
// for which a whole slab has to go: the one that was last used longest ago.
TEST(GroupSharing, AGroupGetsTheSlabThatWasLastUsedLongestAgo) {
  GroupEngine engine(Options({kWindow, kState}, 4));
  const SequenceId first = *engine.Begin("a", CountUp(12), 0);
  engine.RunTo(first, 12);
  engine.End(first);
  EXPECT_EQ(engine.cache().pool().counts(0).cached, Blocks(3));
  EXPECT_EQ(engine.cache().pool().counts(0).slabs, 2);
  const SequenceId second = *engine.Begin("b", CountUp(4), 0);
  engine.RunTo(second, 1);
  const SequenceId third = *engine.Begin("b", CountUp(4, 100), 0);
  engine.RunTo(third, 1);
  EXPECT_EQ(engine.cache().pool().counts(0).live, Blocks(2));
  EXPECT_EQ(engine.cache().pool().counts(1).live, Blocks(2));
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

TEST(GroupSharing, WhatIsPreemptedIsFoundAgainOnResume) {
  GroupEngine engine(Options({kFull, kWindow, kState}, 60, 8));
  const SequenceId id = *engine.Begin("a", CountUp(60), 10);
  engine.RunTo(id, 30);
  engine.Preempt(id);
  EXPECT_EQ(engine.cache().Length(id), Tokens(0));
  EXPECT_EQ(engine.cache().pool().counts(0).live, Blocks(0));
  EXPECT_EQ(engine.cache().pool().counts(0).reserved, Blocks(0));
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
  ASSERT_TRUE(engine.Resume(id, 30));
  EXPECT_EQ(engine.cache().Length(id), Tokens(24)) << "the last checkpoint";
  engine.RunTo(id, 60);
  engine.End(id);
  EXPECT_EQ(engine.cache().sequences(), 0);
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

TEST(GroupSharing, AFullTreeForgetsTheOldestAndThenStopsNaming) {
  GroupCacheOptions options = Options({kWindow}, 60);
  options.sharing->nodes = 5;
  GroupEngine engine(options);
  Serve(engine, CountUp(16), 16);
  EXPECT_EQ(Found(engine, CountUp(16)), 16);
  const SequenceId other = *engine.Begin("b", CountUp(100), 16);
  engine.RunTo(other, 24);
  EXPECT_EQ(Found(engine, CountUp(16)), 0);
  EXPECT_EQ(Found(engine, CountUp(100), "b"), 20) << "five nodes, all of them held";
  EXPECT_EQ(engine.cache().FindViolation(), std::nullopt);
}

TEST(GroupSharing, TellsUnfilledSlotsAndRestsOfSlabs) {
  GroupEngine engine(Options({kFull, kState}, 20));
  const SequenceId id = *engine.Begin("a", CountUp(40), 0);
  engine.RunTo(id, 9);
  EXPECT_EQ(engine.cache().unfilled(), Tokens(3));
  EXPECT_EQ(engine.cache().pool().LostToRests(), Bytes(40 + 300));
  const BlockCounts states = FourStates(engine.cache().pool().counts(0));
  EXPECT_EQ(states, (BlockCounts{.total = Blocks(10),
                                 .live = Blocks(3),
                                 .cached = Blocks(0),
                                 .reserved = Blocks(7),
                                 .free = Blocks(0)}));
  engine.End(id);
  EXPECT_EQ(engine.cache().unfilled(), Tokens(0));
}

TEST(GroupSharing, RefusesOptionsByName) {
  const auto message = [](const GroupCacheOptions& options) {
    return std::string(GroupCache::Create(options).status().message());
  };
  EXPECT_THAT(message(Options({kFull}, 1, 6)), HasSubstr("checkpoint_every=6"));
  GroupCacheOptions options = Options({kFull}, 1);
  options.sharing->nodes = -1;
  EXPECT_THAT(message(options), HasSubstr("nodes=-1"));
}

TEST(GroupSharingDeathTest, MisuseAborts) {
  GroupEngine engine(Options({kFull, kState}, 60));
  GroupCache& cache = engine.cache();
  const SequenceId alone = *cache.Begin(Tokens(8));
  const std::vector<int32_t> tokens = CountUp(8);
  EXPECT_DEATH(cache.Name(alone, engine.Names(tokens, 0, 4)), "check failed.*sequence 0");
  const SequenceId id = *engine.Begin("a", tokens, 8);
  EXPECT_DEATH(cache.Name(id, engine.Names(tokens, 0, 4)), "check failed.*sequence 1 0 1 0");
  engine.Run(id, 4);
  EXPECT_EQ(cache.EarliestLength(id), Tokens(4));
  EXPECT_DEATH(cache.Truncate(id, Tokens(3)), "check failed.*sequence 1 3 4 4");
  EXPECT_DEATH(cache.Resume(id, {}), "check failed.*sequence 1");
  cache.Preempt(id);
  EXPECT_DEATH(cache.Append(id, Tokens(1)), "check failed.*sequence 1");
}

}  // namespace
}  // namespace plimsoll
