// Sequences of models whose layers keep different things, in one pool.
#include "kvcache/pool/group_cache.h"

#include <gmock/gmock.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kvcache/sizing/pool_capacity.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr size_t kFull = 0, kWindowed = 1, kLatent = 2, kState = 3;

std::unique_ptr<GroupCache> CacheOf(const GroupCacheOptions& options) {
  auto cache = GroupCache::Create(options);
  EXPECT_TRUE(cache.ok()) << cache.status();
  return *std::move(cache);
}

// Blocks of four tokens; a window of eight.
GroupCacheOptions Options(int64_t slabs, Tokens step = Tokens(1)) {
  return {.slab_bytes = Bytes(1000),
          .slabs = slabs,
          .block_tokens = Tokens(4),
          .step = step,
          .groups = {{Retention::All(), Bytes(160)},
                     {Retention::Window(Tokens(8)), Bytes(320)},
                     {Retention::All(), Bytes(33)},
                     {Retention::State(), Bytes(700)}}};
}

TEST(BlocksForSequence, SaysWhatEachKindOfGroupKeeps) {
  const Tokens block(16);
  const auto most = [&](Retention retention, int64_t length, int64_t step = 1) {
    return BlocksForSequence(retention, Tokens(length), Tokens(step), block).value();
  };
  EXPECT_EQ(most(Retention::All(), 100), 7);
  EXPECT_EQ(most(Retention::State(), 100), 1);
  const Retention window = Retention::Window(Tokens(32));
  EXPECT_EQ(most(window, 20), 2) << "all of a short sequence";
  EXPECT_EQ(most(window, 100), 3) << "32 tokens lie in three blocks where they begin inside one";
  EXPECT_EQ(most(Retention::Window(Tokens(33)), 100), 3) << "1 + 16 + 16, and no fourth";
  EXPECT_EQ(most(Retention::Window(Tokens(34)), 100), 4);
  EXPECT_EQ(most(Retention::Window(Tokens(1)), 100), 1);
  EXPECT_EQ(most(window, 1000, 64), 7) << "95 tokens from the first query's first key on";
}

TEST(GroupCache, BlocksBehindTheWindowReturnWhileTheSequenceRuns) {
  const auto cache = CacheOf(Options(10));
  EXPECT_THAT(cache->Needed(Tokens(20)), ElementsAre(Blocks(5), Blocks(3), Blocks(5), Blocks(1)));
  const SequenceId id = *cache->Begin(Tokens(20));
  for (int i = 0; i < 11; ++i) cache->Append(id, Tokens(1));
  EXPECT_EQ(cache->Table(id, kWindowed).first, 0) << "token 10 attends to tokens 3 to 10";
  EXPECT_EQ(cache->Table(id, kWindowed).blocks.size(), 3u);
  cache->Append(id, Tokens(1));
  EXPECT_EQ(cache->Table(id, kWindowed).first, 1) << "token 11 attends to tokens 4 to 11";
  EXPECT_EQ(cache->Table(id, kWindowed).blocks.size(), 2u);
  for (int i = 0; i < 8; ++i) cache->Append(id, Tokens(1));
  EXPECT_EQ(cache->Table(id, kFull).blocks.size(), 5u);
  EXPECT_EQ(cache->Table(id, kLatent).blocks.size(), 5u);
  EXPECT_EQ(cache->Table(id, kState).blocks.size(), 1u);
  EXPECT_EQ(cache->Table(id, kWindowed).first, 3);
  EXPECT_EQ(cache->FindViolation(), std::nullopt);
  cache->End(id);
  EXPECT_EQ(cache->pool().free_slabs(), 10);
}

TEST(GroupCache, RejectedDraftsAreTakenBack) {
  const auto cache = CacheOf(Options(10, Tokens(5)));
  const SequenceId id = *cache->Begin(Tokens(40));
  for (int i = 0; i < 4; ++i) cache->Append(id, Tokens(5));
  cache->Truncate(id, Tokens(16));
  EXPECT_EQ(cache->Length(id), Tokens(16));
  EXPECT_EQ(cache->Table(id, kFull).blocks.size(), 4u);
  EXPECT_EQ(cache->Table(id, kWindowed).first, 2) << "token 16 attends to tokens 9 to 16";
  EXPECT_EQ(cache->FindViolation(), std::nullopt);
  cache->Append(id, Tokens(5));
  EXPECT_EQ(cache->Length(id), Tokens(21));
}

// Blocks of four tokens, all of which full attention keeps; of a window of eight, the rest is gone.
TEST(GroupCache, IsCutBackAsFarAsWhatItKeepsAllows) {
  GroupCacheOptions options = Options(10, Tokens(4));
  options.groups = {options.groups[kFull], options.groups[kWindowed]};
  const auto windowed = CacheOf(options);
  options.groups.pop_back();
  const auto full = CacheOf(options);
  const SequenceId id = *full->Begin(Tokens(40));
  const SequenceId its_id = *windowed->Begin(Tokens(40));
  for (int i = 0; i < 6; ++i) {
    full->Append(id, Tokens(4));
    windowed->Append(its_id, Tokens(4));
  }
  EXPECT_EQ(full->EarliestLength(id), Tokens(0));
  full->Truncate(id, Tokens(5));
  EXPECT_EQ(full->Table(id, 0).blocks.size(), 2u);
  EXPECT_EQ(full->FindViolation(), std::nullopt);
  full->Append(id, Tokens(4));
  EXPECT_EQ(full->unfilled(), Tokens(3));

  EXPECT_EQ(windowed->Table(its_id, 1).first, 3) << "token 20 attends to tokens 13 to 20";
  EXPECT_EQ(windowed->EarliestLength(its_id), Tokens(19)) << "token 19 attends to tokens 12 to 19";
  EXPECT_DEATH(windowed->Truncate(its_id, Tokens(18)), "check failed.*sequence 0 18 19 24");
  windowed->Truncate(its_id, Tokens(19));
  EXPECT_EQ(windowed->Table(its_id, 1).first, 3);
  EXPECT_EQ(windowed->Table(its_id, 1).blocks.size(), 2u);
  EXPECT_EQ(windowed->FindViolation(), std::nullopt);
  for (int i = 0; i < 5; ++i) windowed->Append(its_id, Tokens(4));
  EXPECT_EQ(windowed->Length(its_id), Tokens(39));
}

TEST(GroupCache, NoRoomChangesNothing) {
  const auto cache = CacheOf(Options(4));
  EXPECT_EQ(cache->Begin(Tokens(100)), std::nullopt);
  EXPECT_EQ(cache->Begin(Tokens(INT64_MAX)), std::nullopt);
  ASSERT_TRUE(cache->Begin(Tokens(4)).has_value()) << "a slab for each group";
  EXPECT_EQ(cache->Begin(Tokens(4)), std::nullopt) << "a second state has no room";
  EXPECT_EQ(cache->sequences(), 1);
  EXPECT_EQ(cache->FindViolation(), std::nullopt);
}

TEST(GroupCache, RefusesOptionsByName) {
  const auto message = [](const GroupCacheOptions& options) {
    const auto cache = GroupCache::Create(options);
    EXPECT_EQ(cache.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(cache.status().message());
  };
  GroupCacheOptions options = Options(1);
  options.block_tokens = Tokens(3);
  EXPECT_THAT(message(options), HasSubstr("block_tokens=3"));
  EXPECT_THAT(message(Options(1, Tokens(0))), HasSubstr("step=0"));
  options = Options(1);
  options.groups[kWindowed].retention = Retention::Window(Tokens(0));
  EXPECT_THAT(message(options), HasSubstr("window=0"));
  options.groups.clear();
  EXPECT_THAT(message(options), HasSubstr("groups=0"));
}

TEST(GroupCacheDeathTest, MisuseAborts) {
  const auto cache = CacheOf(Options(10, Tokens(5)));
  const SequenceId id = *cache->Begin(Tokens(8));
  EXPECT_DEATH(cache->Append(id, Tokens(6)), "check failed.*sequence 0 6 5");
  cache->Append(id, Tokens(5));
  EXPECT_DEATH(cache->Append(id, Tokens(4)), "check failed.*sequence 0 4 5 8");
  cache->Append(id, Tokens(1));
  EXPECT_DEATH(cache->Truncate(id, Tokens(4)), "check failed.*sequence 0 4 5 6");
  cache->End(id);
  EXPECT_DEATH(cache->Length(id), "check failed.*sequence 0");
}

// The planner counts exact bytes; the pool loses at most a begun slab for each group and the rest
// of each slab. Three sizes of which none divides another.
TEST(GroupCache, HoldsTheSequencesThatThePlanPromises) {
  const Tokens block(16), context(3000), window(512);
  const Bytes full(7 * 1024), windowed(36 * 1024), state(200 * 1024);
  const Bytes slab(2 << 20);
  constexpr int64_t kSlabs = 256;
  const auto cache = CacheOf({.slab_bytes = slab,
                              .slabs = kSlabs,
                              .block_tokens = block,
                              .groups = {{Retention::All(), full},
                                         {Retention::Window(window), windowed},
                                         {Retention::State(), state}}});
  int64_t sequences = 0;
  while (cache->Begin(context)) ++sequences;
  const auto planned = [&](int64_t slabs) {
    return GroupedSequencesIn({.bytes = slabs * slab,
                               .block_bytes = full + windowed,
                               .state_bytes = state,
                               .block_tokens = block,
                               .windows = {{window, windowed}}},
                              context);
  };
  EXPECT_LE(sequences, planned(kSlabs));
  EXPECT_GE(sequences, planned((kSlabs - 3) * 97 / 100)) << "rests are below 3 % of a slab here";
  const int64_t padded = (kSlabs * slab).value() / windowed.value() / (188 + 33 + 6);
  EXPECT_GT(sequences, padded * 3 / 2) << "blocks padded to the largest hold so many";
}

// Each token that may still be attended to is written once, where the tables say, and must be there
// in every group; states are written at every step.
class CacheAndModel {
 public:
  explicit CacheAndModel(uint32_t seed) : random_(seed) {}

  void Step() {
    if (lengths_.empty() || Upto(9) == 0) return Begin();
    const SequenceId id = std::next(lengths_.begin(), Upto(std::ssize(lengths_) - 1))->first;
    if (Upto(30) == 0) {
      cache_->End(id);
      lengths_.erase(id);
      return;
    }
    Append(id);
    if (Upto(2) > 0) return;
    const int64_t length = cache_->Length(id).value();
    const int64_t kept = length - Upto(std::min<int64_t>(last_, 3));
    cache_->Truncate(id, Tokens(kept));
    lengths_[id].length = kept;
    WriteState(id);
  }
  void Compare() const {
    ASSERT_EQ(cache_->FindViolation(), std::nullopt);
    for (const auto& [id, m] : lengths_) {
      ASSERT_EQ(cache_->Length(id), Tokens(m.length));
      for (const size_t group : {kFull, kWindowed, kLatent}) {
        const int64_t first = group == kWindowed ? std::max<int64_t>(0, m.length - 7) : 0;
        for (int64_t i = first; i < m.length; ++i) {
          ASSERT_EQ(Read(AddressOf(id, group, i)), Value(id, i)) << id << " token " << i;
        }
      }
      if (m.length == 0) continue;
      const GroupTable state = cache_->Table(id, kState);
      if (!state.blocks.empty()) {
        ASSERT_EQ(Read(OffsetOf(kState, state.blocks[0])), Value(id, m.length));
      }
    }
  }
  int64_t most_running() const { return most_running_; }

 private:
  struct Model {
    int64_t total = 0;
    int64_t length = 0;
  };

  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }
  static int64_t Value(SequenceId id, int64_t token) { return id.number() * 1000 + token; }
  size_t OffsetOf(size_t group, BlockId block) const {
    return static_cast<size_t>(cache_->pool().OffsetOf(group, block).value());
  }
  // A token has eight bytes in each group here.
  size_t AddressOf(SequenceId id, size_t group, int64_t token) const {
    const GroupTable table = cache_->Table(id, group);
    const BlockId block = table.blocks[static_cast<size_t>(token / 4 - table.first)];
    return OffsetOf(group, block) + static_cast<size_t>(token % 4) * 8;
  }
  int64_t Read(size_t at) const {
    int64_t value = 0;
    std::memcpy(&value, memory_.data() + at, sizeof(value));
    return value;
  }
  void Write(size_t at, int64_t value) { std::memcpy(memory_.data() + at, &value, sizeof(value)); }

  void Begin() {
    const int64_t total = Upto(60);
    const bool fits = cache_->pool().CanReserve(cache_->Needed(Tokens(total)));
    const auto id = cache_->Begin(Tokens(total));
    ASSERT_EQ(id.has_value(), fits);
    if (id) lengths_[*id] = {total, 0};
    most_running_ = std::max(most_running_, std::ssize(lengths_));
  }
  void Append(SequenceId id) {
    Model& m = lengths_[id];
    last_ = 0;
    if (m.length == m.total) return;
    last_ = 1 + Upto(std::min<int64_t>(4, m.total - m.length - 1));
    cache_->Append(id, Tokens(last_));
    for (int64_t i = m.length; i < m.length + last_; ++i) {
      for (const size_t group : {kFull, kWindowed, kLatent}) {
        Write(AddressOf(id, group, i), Value(id, i));
      }
    }
    m.length += last_;
    WriteState(id);
  }
  void WriteState(SequenceId id) {
    const GroupTable state = cache_->Table(id, kState);
    if (state.blocks.empty()) return;
    Write(OffsetOf(kState, state.blocks[0]), Value(id, lengths_[id].length));
  }

  std::mt19937 random_;
  std::unique_ptr<GroupCache> cache_ = CacheOf(Options(24, Tokens(5)));
  std::vector<std::byte> memory_ = std::vector<std::byte>(24 * 1000);
  std::map<SequenceId, Model> lengths_;
  int64_t last_ = 0;
  int64_t most_running_ = 0;
};

TEST(GroupCacheProperty, EveryTokenThatMayBeReadIsThereAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  CacheAndModel both(static_cast<uint32_t>(seed));
  StepAndCompare(both, StepsOr(50000));
  ASSERT_FALSE(HasFailure());
  EXPECT_GT(both.most_running(), 5);
}

}  // namespace
}  // namespace plimsoll
