// Sequences through the C interface.
#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "tests/kvcache/c/c_pool.h"

namespace plimsoll {
namespace {

// By hand: 10 blocks of 16 tokens. 40 tokens take 3 blocks; of these 20 tokens fill 2.
TEST(CSequences, GrowWithinTheirPromiseAndEnd) {
  CPool pool;
  plimsoll_sequence sequence;
  ASSERT_EQ(pool.Begin(nullptr, 40, sequence), PLIMSOLL_OK);
  EXPECT_EQ(sequence.promise_left, 3);
  EXPECT_EQ(sequence.named_blocks, -1);
  EXPECT_EQ(pool.Snapshot().reserved_blocks, 3);

  ASSERT_EQ(pool.Append(sequence.id, 20), PLIMSOLL_OK);
  EXPECT_EQ(pool.Get(sequence.id).length, 20);
  EXPECT_EQ(pool.Table(sequence.id), (std::vector<int32_t>{0, 1}));
  const plimsoll_snapshot snapshot = pool.Snapshot();
  EXPECT_EQ(snapshot.live_blocks, 2);
  EXPECT_EQ(snapshot.reserved_blocks, 1);
  EXPECT_EQ(snapshot.unfilled_tokens, 12);

  ASSERT_EQ(plimsoll_sequence_truncate(pool.pool, sequence.id, 3, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(pool.Table(sequence.id).size(), 1u);
  ASSERT_EQ(plimsoll_sequence_end(pool.pool, sequence.id, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(pool.Snapshot().free_blocks, 10);
}

TEST(CSequences, RunningOutIsAnAnswerThatChangesNothing) {
  CPool pool;
  plimsoll_sequence sequence;
  EXPECT_EQ(pool.Begin(nullptr, 161, sequence), PLIMSOLL_RESOURCE_EXHAUSTED);
  ASSERT_EQ(pool.Begin(nullptr, 16, sequence), PLIMSOLL_OK);
  Line why;
  auto copy = Sized<plimsoll_block_copy>();
  EXPECT_EQ(plimsoll_sequence_append(pool.pool, sequence.id, 161, 0, &copy, &why),
            PLIMSOLL_RESOURCE_EXHAUSTED);
  EXPECT_EQ(why.text(), "no room for 161 tokens: 9 blocks free and 0 cached of 10");
  EXPECT_EQ(pool.Get(sequence.id).length, 0);
}

// Two full blocks of a prompt are shared; the part of the third is not.
TEST(CSequences, FindWhatOthersNamed) {
  CPool pool({.eviction = "lru"});
  std::vector<int32_t> tokens(40);
  std::iota(tokens.begin(), tokens.end(), 1);
  const auto prompt = Sized<plimsoll_prompt>(
      {.struct_size = 0, .salt = "a", .tokens = tokens.data(), .token_count = tokens.size()});
  plimsoll_sequence first;
  ASSERT_EQ(pool.Begin(&prompt, 48, first), PLIMSOLL_OK);
  EXPECT_EQ(first.found_blocks, 0);
  ASSERT_EQ(pool.Append(first.id, 40), PLIMSOLL_OK);
  ASSERT_EQ(plimsoll_sequence_name(pool.pool, first.id, &prompt, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(pool.Get(first.id).named_blocks, 2);

  plimsoll_sequence second;
  ASSERT_EQ(pool.Begin(&prompt, 48, second), PLIMSOLL_OK);
  EXPECT_EQ(second.found_blocks, 2);
  EXPECT_EQ(second.length, 32);
  const std::vector<int32_t> table = pool.Table(first.id);
  EXPECT_EQ(pool.Table(second.id), std::vector<int32_t>(table.begin(), table.begin() + 2));

  auto other_salt = prompt;
  other_salt.salt = "b";
  int64_t found = -1;
  ASSERT_EQ(plimsoll_pool_find(pool.pool, &other_salt, &found, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(found, 0);
  for (const int64_t id : {first.id, second.id}) {
    ASSERT_EQ(plimsoll_sequence_end(pool.pool, id, nullptr), PLIMSOLL_OK);
  }
  EXPECT_EQ(pool.Snapshot().cached_blocks, 2);
  ASSERT_EQ(plimsoll_pool_find(pool.pool, &prompt, &found, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(found, 2);
}

// Both write behind 20 shared tokens: who does it first is told to copy 4 slots of the second
// block.
TEST(CSequences, ForksCopyTheirLastBlockBeforeTheyWrite) {
  CPool pool;
  plimsoll_sequence parent;
  ASSERT_EQ(pool.Begin(nullptr, 40, parent), PLIMSOLL_OK);
  ASSERT_EQ(pool.Append(parent.id, 20), PLIMSOLL_OK);
  auto fork = Sized<plimsoll_sequence>();
  ASSERT_EQ(plimsoll_sequence_fork(pool.pool, parent.id, 40, &fork, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(pool.Table(fork.id), pool.Table(parent.id));

  auto copy = Sized<plimsoll_block_copy>();
  ASSERT_EQ(pool.Append(fork.id, 1, &copy), PLIMSOLL_OK);
  EXPECT_EQ(copy.tokens, 4);
  EXPECT_EQ(copy.from, pool.Table(parent.id)[1]);
  EXPECT_EQ(copy.to, pool.Table(fork.id)[1]);
  ASSERT_EQ(pool.Append(parent.id, 1, &copy), PLIMSOLL_OK);
  EXPECT_EQ(copy.tokens, 0) << "the other one has its own now";
}

TEST(CSequences, AgreeWithTheModelAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  const auto dice = [&](int64_t n) {
    return static_cast<int64_t>(rng() % static_cast<uint64_t>(n));
  };
  struct Model {
    int64_t length, promised;
  };
  CPool pool({.blocks = 30, .block_tokens = 4});
  std::map<int64_t, Model> model;
  const auto blocks = [](int64_t tokens) { return (tokens + 3) / 4; };
  for (int step = 0; step < 3000; ++step) {
    int64_t taken = 0;
    for (const auto& [id, its] : model) taken += std::max(blocks(its.length), its.promised);
    ASSERT_EQ(pool.Snapshot().free_blocks, 30 - taken) << "step " << step;
    const int64_t what = model.empty() ? 0 : dice(4);
    auto its = model.begin();
    if (!model.empty()) std::advance(its, dice(std::ssize(model)));
    if (what == 0) {
      plimsoll_sequence sequence;
      const int64_t total = 1 + dice(40);
      const bool fits = blocks(total) <= 30 - taken;
      ASSERT_EQ(pool.Begin(nullptr, total, sequence),
                fits ? PLIMSOLL_OK : PLIMSOLL_RESOURCE_EXHAUSTED);
      if (fits) model[sequence.id] = {0, blocks(total)};
    } else if (what == 1) {
      const int64_t more = 1 + dice(12);
      const int64_t before = std::max(blocks(its->second.length), its->second.promised);
      const int64_t beyond = std::max<int64_t>(blocks(its->second.length + more) - before, 0);
      const bool fits = beyond <= 30 - taken;
      ASSERT_EQ(pool.Append(its->first, more), fits ? PLIMSOLL_OK : PLIMSOLL_RESOURCE_EXHAUSTED);
      if (fits) its->second.length += more;
    } else if (what == 2) {
      its->second.length = dice(its->second.length + 1);
      ASSERT_EQ(plimsoll_sequence_truncate(pool.pool, its->first, its->second.length, nullptr), 0);
    } else {
      ASSERT_EQ(plimsoll_sequence_end(pool.pool, its->first, nullptr), PLIMSOLL_OK);
      model.erase(its);
    }
  }
}

}  // namespace
}  // namespace plimsoll
