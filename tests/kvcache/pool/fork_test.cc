// Sequences that share a beginning: forks, copies on the first write, tokens taken back, lookahead.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "kvcache/pool/kv_cache.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;

constexpr Tokens kBlockTokens(4);

std::unique_ptr<KvCache> CacheOf(int64_t blocks, Eviction eviction = Eviction::kOff,
                                 Tokens block_tokens = kBlockTokens) {
  auto cache = KvCache::Create(
      {.capacity = Blocks(blocks), .block_tokens = block_tokens, .eviction = eviction});
  EXPECT_TRUE(cache.ok()) << cache.status();
  return *std::move(cache);
}

SequenceId BeginWithPromise(KvCache& cache, int64_t promised) {
  EXPECT_TRUE(cache.Promise(Blocks(promised)));
  return cache.Begin(Blocks(promised));
}

// A fork with all it needs to grow to `total` tokens.
SequenceId ForkFor(KvCache& cache, SequenceId id, int64_t total) {
  const Blocks promised = BlocksForFork(cache.Length(id), Tokens(total), cache.block_tokens());
  EXPECT_TRUE(cache.Promise(promised));
  return cache.Fork(id, promised);
}

std::optional<BlockCopy> Append(KvCache& cache, SequenceId id, int64_t tokens,
                                int64_t lookahead = 0) {
  const auto plan = cache.PlanAppend(id, Tokens(tokens), Tokens(lookahead));
  if (!plan) ADD_FAILURE() << id << " has no room for " << tokens << " tokens";
  return plan ? cache.Commit(*plan) : std::nullopt;
}

std::vector<BlockId> TableOf(const KvCache& cache, SequenceId id) {
  return {cache.Table(id).begin(), cache.Table(id).end()};
}

BlockCounts CountsOf(int64_t total, int64_t live, int64_t cached, int64_t reserved) {
  return {.total = Blocks(total),
          .live = Blocks(live),
          .cached = Blocks(cached),
          .reserved = Blocks(reserved),
          .free = Blocks(total - live - cached - reserved)};
}

// Ten tokens are two full blocks and half of a third; each of two may grow to twelve.
TEST(Fork, SharesAllBlocksAndWhoWritesFirstCopiesTheLast) {
  const auto cache = CacheOf(10);
  const SequenceId parent = BeginWithPromise(*cache, 3);
  EXPECT_EQ(Append(*cache, parent, 10), std::nullopt);
  EXPECT_EQ(BlocksForFork(Tokens(10), Tokens(12), kBlockTokens), Blocks(1));
  const SequenceId fork = ForkFor(*cache, parent, 12);
  EXPECT_EQ(TableOf(*cache, fork), TableOf(*cache, parent));
  EXPECT_EQ(cache->Length(fork), Tokens(10));
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0, 1)) << "one block is set aside for the copy";

  const std::vector<BlockId> before = TableOf(*cache, parent);
  const std::optional<BlockCopy> copy = Append(*cache, parent, 1);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->from, before[2]);
  EXPECT_EQ(copy->tokens, Tokens(2));
  EXPECT_THAT(TableOf(*cache, parent), ElementsAre(before[0], before[1], copy->to));
  EXPECT_EQ(TableOf(*cache, fork), before);
  EXPECT_EQ(cache->counts(), CountsOf(10, 4, 0, 0));
  EXPECT_EQ(Append(*cache, fork, 1), std::nullopt) << "the last holder writes in place";
  EXPECT_EQ(TableOf(*cache, fork), before);

  cache->End(parent);
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0, 0));
  cache->End(fork);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 0, 0));
}

TEST(Fork, WhoeverWritesFirstAllCanGrowAsFarAsPromised) {
  for (int first = 0; first < 4; ++first) {
    const auto cache = CacheOf(3 + 3 * 2);  // 10 tokens each of 12, with nothing to spare
    std::vector<SequenceId> samples = {BeginWithPromise(*cache, 4)};
    Append(*cache, samples[0], 5);
    ASSERT_EQ(BlocksForFork(Tokens(5), Tokens(12), kBlockTokens), Blocks(2));
    ASSERT_EQ(cache->available(), Blocks(5));
    samples.push_back(ForkFor(*cache, samples[0], 12));
    samples.push_back(ForkFor(*cache, samples[1], 12));
    for (int i = 0; i < 3; ++i) {
      const SequenceId id = samples[static_cast<size_t>((first + i) % 3)];
      const auto plan = cache->PlanAppend(id, Tokens(7));
      ASSERT_TRUE(plan.has_value());
      EXPECT_EQ(plan->copied.has_value(), i < 2);
      EXPECT_EQ(plan->from_free, Blocks(0)) << "it was promised";
      cache->Commit(*plan);
    }
  }
}

TEST(Fork, AtTheEndOfABlockNothingIsCopied) {
  const auto cache = CacheOf(10);
  const SequenceId parent = BeginWithPromise(*cache, 2);
  Append(*cache, parent, 8);
  EXPECT_EQ(BlocksForFork(Tokens(8), Tokens(9), kBlockTokens), Blocks(1));
  const SequenceId fork = ForkFor(*cache, parent, 9);
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 1));
  EXPECT_EQ(Append(*cache, fork, 1), std::nullopt);
  EXPECT_EQ(Append(*cache, parent, 1), std::nullopt);
  EXPECT_EQ(cache->counts(), CountsOf(10, 4, 0, 0));
}

TEST(Fork, WhatWasSetAsideForACopyThatNobodyNeedsComesBack) {
  for (const bool parent_ends : {true, false}) {
    const auto cache = CacheOf(10);
    const SequenceId parent = BeginWithPromise(*cache, 1);
    Append(*cache, parent, 1);
    const SequenceId fork = ForkFor(*cache, parent, 2);
    EXPECT_EQ(cache->counts(), CountsOf(10, 1, 0, 1));
    cache->End(parent_ends ? parent : fork);
    EXPECT_EQ(cache->counts(), CountsOf(10, 1, 0, 0));
    EXPECT_EQ(Append(*cache, parent_ends ? fork : parent, 1), std::nullopt);
  }
}

TEST(Fork, OfAnEmptySequenceIsAnEmptySequence) {
  const auto cache = CacheOf(4);
  const SequenceId parent = cache->Begin(Blocks(0));
  const SequenceId fork = ForkFor(*cache, parent, 5);
  EXPECT_EQ(cache->PromiseLeft(fork), Blocks(2));
  EXPECT_EQ(Append(*cache, fork, 5), std::nullopt);
}

TEST(Truncate, BlocksReturnToThePromiseAndThoseBeyondItBecomeFree) {
  const auto cache = CacheOf(10);
  const SequenceId id = BeginWithPromise(*cache, 2);
  Append(*cache, id, 17);  // five blocks, three of them beyond the promise
  EXPECT_EQ(cache->counts(), CountsOf(10, 5, 0, 0));
  cache->Truncate(id, Tokens(13));
  EXPECT_EQ(cache->counts(), CountsOf(10, 4, 0, 0));
  cache->Truncate(id, Tokens(3));
  EXPECT_EQ(cache->Length(id), Tokens(3));
  EXPECT_EQ(cache->counts(), CountsOf(10, 1, 0, 1)) << "two go free, one is promised again";
  cache->Truncate(id, Tokens(0));
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 0, 2));
  EXPECT_EQ(Append(*cache, id, 8), std::nullopt);
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 0));
}

// A step that checks three drafted tokens after the one that is certain.
TEST(Lookahead, SlotsAreThereBeforeTheirTokensAndRejectedOnesAreUsedAgain) {
  const auto cache = CacheOf(10);
  const SequenceId id = BeginWithPromise(*cache, 3);
  Append(*cache, id, 3, 3);
  EXPECT_EQ(cache->Length(id), Tokens(3));
  EXPECT_EQ(cache->Table(id).size(), 2u) << "slots for six tokens";
  const std::vector<BlockId> table = TableOf(*cache, id);
  Append(*cache, id, 2, 3);  // one draft was right
  EXPECT_EQ(TableOf(*cache, id), table) << "slots for eight tokens";
  Append(*cache, id, 1, 3);
  EXPECT_EQ(cache->Table(id).size(), 3u);
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0, 0));
  cache->Truncate(id, cache->Length(id));
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 1)) << "drafting is over: slots come back";
  EXPECT_EQ(cache->PlanAppend(id, Tokens(1), Tokens(INT64_MAX)), std::nullopt);
}

TEST(Lookahead, AForkSharesNoSlotsWithoutTokens) {
  const auto cache = CacheOf(10);
  const SequenceId parent = cache->Begin(Blocks(0));
  Append(*cache, parent, 4, 4);
  const SequenceId fork = ForkFor(*cache, parent, 8);
  EXPECT_EQ(cache->Table(fork).size(), 1u);
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 1));
}

BlockNames NamesOf(const std::vector<int32_t>& tokens) {
  return BlockNames::OfTokens(tokens, kBlockTokens);
}

TEST(Truncate, ANamedBlockThatIsCutStaysForOthersAndIsCopied) {
  const auto cache = CacheOf(10, Eviction::kLru);
  const std::vector<int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8};
  const SequenceId id = *cache->BeginWith({"", NamesOf(prompt)}, Blocks(3));
  Append(*cache, id, 8);
  cache->Name(id, NamesOf(prompt));
  const std::vector<BlockId> table = TableOf(*cache, id);
  cache->Truncate(id, Tokens(6));
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(2));
  const std::optional<BlockCopy> copy = Append(*cache, id, 2);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(*copy, (BlockCopy{.from = table[1], .to = cache->Table(id)[1], .tokens = Tokens(2)}));
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 1, 0)) << "the old one is kept for who finds it";
  const std::vector<int32_t> other = {5, 6, 9, 9};
  cache->Name(id, NamesOf(other));
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(2));
  EXPECT_EQ(cache->Find({"", NamesOf({1, 2, 3, 4, 5, 6, 9, 9})}).blocks, Blocks(2));
}

TEST(Truncate, NamedBlocksThatAreGivenUpAreKeptAndPromisedAgain) {
  const auto cache = CacheOf(3, Eviction::kLru);
  const std::vector<int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const SequenceId id = *cache->BeginWith({"", NamesOf(prompt)}, Blocks(3));
  Append(*cache, id, 12);
  cache->Name(id, NamesOf(prompt));
  cache->Truncate(id, Tokens(4));
  EXPECT_EQ(cache->counts(), CountsOf(3, 1, 0, 2)) << "the pool is full: both had to go";
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(1));
  Append(*cache, id, 8);
  cache->Name(id, NamesOf({5, 6, 7, 8, 9, 9, 9, 9}));
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(2));
}

TEST(Fork, BothMayNameWhatTheyShare) {
  const auto cache = CacheOf(10, Eviction::kLru);
  const std::vector<int32_t> prompt = {1, 2, 3, 4};
  const SequenceId parent = *cache->BeginWith({"", NamesOf(prompt)}, Blocks(1));
  Append(*cache, parent, 4);
  const SequenceId fork = ForkFor(*cache, parent, 8);
  cache->Name(parent, NamesOf(prompt));
  cache->End(parent);
  EXPECT_EQ(cache->counts(), CountsOf(10, 1, 0, 1)) << "the fork still holds it";
  cache->Name(fork, NamesOf(prompt));
  cache->End(fork);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 1, 0));
}

TEST(Fork, OneThatNeverNamesWhatItSharesKeepsItNonetheless) {
  const auto cache = CacheOf(10, Eviction::kLearned);
  const std::vector<int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8};
  const SequenceId parent = *cache->BeginWith({"", NamesOf(prompt)}, Blocks(2));
  Append(*cache, parent, 8);
  const SequenceId fork = ForkFor(*cache, parent, 9);
  cache->Name(parent, NamesOf(prompt));
  cache->End(parent);
  cache->End(fork);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 2, 0));
  EXPECT_EQ(cache->Find({"", NamesOf(prompt)}).blocks, Blocks(2));
}

TEST(ForkDeathTest, MisuseAborts) {
  const auto cache = CacheOf(4);
  const SequenceId id = BeginWithPromise(*cache, 1);
  Append(*cache, id, 3);
  EXPECT_DEATH(cache->Fork(id, Blocks(1)), "check failed.*1 0") << "nothing was promised";
  EXPECT_DEATH(cache->Fork(id, Blocks(0)), "check failed.*sequence 0 3") << "no room to copy";
  EXPECT_DEATH(cache->Truncate(id, Tokens(4)), "check failed.*sequence 0 4 3");
  const auto plan = cache->PlanAppend(id, Tokens(1));
  ASSERT_TRUE(cache->Promise(Blocks(1)));
  cache->Fork(id, Blocks(1));
  EXPECT_DEATH(cache->Commit(*plan), "check failed.*sequence 0") << "it has to copy now";
}

// The cache in plain words: each sequence is its tokens. The blocks have memory here, written and
// copied as the cache says, and after every step each sequence must find its own tokens in it.
class CacheAndModel {
 public:
  explicit CacheAndModel(uint32_t seed) : random_(seed) {}

  void Step() {
    if (model_.empty() || (model_.size() < 8 && Upto(8) == 0)) return Begin();
    switch (Upto(11)) {
      case 0:
        return End(Any());
      case 1:
      case 2:
        return Fork(Any());
      case 3:
      case 4:
        return Truncate(Any());
      case 5:
      case 6:
        return Name(Any());
      case 7:
        return Noise();
      default:
        return AppendToSome();
    }
  }
  void Compare() const {
    ASSERT_EQ(cache_->FindViolation(), std::nullopt);
    std::map<BlockId, int> holders;
    for (const auto& [id, m] : model_) {
      ASSERT_EQ(cache_->Length(id), Tokens(std::ssize(m.tokens)));
      for (const BlockId block : cache_->Table(id)) ++holders[block];
      for (size_t i = 0; i < m.tokens.size(); ++i) {
        ASSERT_EQ(memory_[SlotOf(id, i)], m.tokens[i]) << id << " token " << i;
      }
    }
    ASSERT_EQ(cache_->counts().live, Blocks(std::ssize(holders)));
  }
  void EndAll() {
    while (!model_.empty()) End(model_.begin()->first);
    cache_->Forgo(unclaimed_);
    ASSERT_EQ(cache_->counts().reserved, Blocks(0));
    cache_->TrimCached(Blocks(0));
    ASSERT_EQ(cache_->counts(), CountsOf(kBlocks, 0, 0, 0));
  }
  int64_t copies() const { return copies_; }
  int64_t promised_appends() const { return promised_appends_; }

 private:
  static constexpr int64_t kBlocks = 28;
  static constexpr Tokens kSize{2};

  struct Model {
    std::vector<int32_t> tokens;
    int64_t total = 0;        // tokens it was promised room for
    bool guaranteed = false;  // neither it nor what it was forked from gave up what others hold
    bool forked = false;      // so that others may have named what it holds
    int64_t named = 0;
  };

  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }
  SequenceId Any() { return std::next(model_.begin(), Upto(std::ssize(model_) - 1))->first; }
  size_t SlotOf(SequenceId id, size_t i) const {
    const auto size = static_cast<size_t>(kSize.value());
    return static_cast<size_t>(cache_->Table(id)[i / size].index()) * size + i % size;
  }

  void Begin() {
    Model m;
    for (int64_t n = Upto(5); n > 0; --n) m.tokens.push_back(static_cast<int32_t>(Upto(1)));
    m.total = std::ssize(m.tokens) + Upto(8);
    m.guaranteed = true;
    const auto id = cache_->BeginWith({"", BlockNames::OfTokens(m.tokens, kSize)},
                                      BlocksForSequence(Tokens(m.total), kSize));
    if (!id) return;
    m.named = cache_->Found(*id).value();
    m.tokens.resize(static_cast<size_t>(cache_->Length(*id).value()));
    model_[*id] = m;
  }
  void End(SequenceId id) {
    cache_->End(id);
    model_.erase(id);
  }
  void Fork(SequenceId id) {
    Model m = model_[id];
    const bool part_full = std::ssize(m.tokens) % kSize.value() != 0;
    m.total = std::ssize(m.tokens) + Upto(6);
    m.guaranteed = m.guaranteed || !part_full;
    const Blocks promised = BlocksForFork(Tokens(std::ssize(m.tokens)), Tokens(m.total), kSize) +
                            Blocks(m.total == std::ssize(m.tokens) ? 1 : 0);
    if (model_.size() >= 8 || !cache_->Promise(promised)) return;
    m.forked = model_[id].forked = true;
    model_[cache_->Fork(id, promised)] = m;
  }
  // Whether somebody else holds, or finds, a block from token `length` on.
  bool SharedFrom(SequenceId id, int64_t length) const {
    const bool cut = length % kSize.value() != 0;
    const Model& m = model_.at(id);
    if (cut && (m.forked || length / kSize.value() < m.named)) return true;
    const auto first = static_cast<size_t>(length / kSize.value());
    for (size_t i = first; i < cache_->Table(id).size(); ++i) {
      for (const auto& [other, its_model] : model_) {
        const auto table = cache_->Table(other);
        if (other == id) continue;
        if (std::find(table.begin(), table.end(), cache_->Table(id)[i]) != table.end()) return true;
      }
    }
    return false;
  }
  void Truncate(SequenceId id) {
    Model& m = model_[id];
    const int64_t length = Upto(std::ssize(m.tokens));
    if (SharedFrom(id, length) && length < std::ssize(m.tokens)) m.guaranteed = false;
    cache_->Truncate(id, Tokens(length));
    m.tokens.resize(static_cast<size_t>(length));
    m.named = std::min(m.named, length / kSize.value());
  }
  void Name(SequenceId id) {
    Model& m = model_[id];
    const int64_t full = std::ssize(m.tokens) / kSize.value();
    const BlockNames all = BlockNames::OfTokens(m.tokens, kSize);
    const int64_t count = Upto(full - m.named);
    cache_->Name(id, all.Subrange(m.named, count));
    m.named += count;
    ASSERT_EQ(cache_->Find({"", all.Subrange(0, m.named)}).blocks, Blocks(m.named));
  }
  void Noise() {
    if (Upto(1) == 0) return cache_->TrimCached(Blocks(Upto(10)));
    if (unclaimed_ > Blocks(0)) cache_->Forgo(std::exchange(unclaimed_, Blocks(0)));
    const Blocks n(Upto(6));
    if (cache_->Promise(n)) unclaimed_ = n;
  }
  // One step of an engine: all commits, then all copies, then all writes.
  void AppendToSome() {
    std::vector<BlockCopy> copies;
    std::map<SequenceId, std::vector<int32_t>> writes;
    for (int64_t n = 1 + Upto(2); n > 0; --n) {
      const SequenceId id = Any();
      if (writes.contains(id)) continue;
      std::vector<int32_t> tokens(static_cast<size_t>(1 + Upto(3)));
      for (int32_t& token : tokens) token = static_cast<int32_t>(Upto(1));
      if (Commit(id, std::ssize(tokens), Upto(3), copies)) writes[id] = tokens;
    }
    for (const BlockCopy& copy : copies) Copy(copy);
    for (const auto& [id, tokens] : writes) {
      for (const int32_t token : tokens) {
        memory_[SlotOf(id, model_[id].tokens.size())] = token;
        model_[id].tokens.push_back(token);
      }
    }
  }
  bool Commit(SequenceId id, int64_t tokens, int64_t lookahead, std::vector<BlockCopy>& copies) {
    const auto plan = cache_->PlanAppend(id, Tokens(tokens), Tokens(lookahead));
    const Model& m = model_[id];
    if (m.guaranteed && std::ssize(m.tokens) + tokens + lookahead <= m.total) {
      ++promised_appends_;
      EXPECT_TRUE(plan && plan->from_free == Blocks(0)) << id << " was promised this";
    }
    if (!plan) return false;
    if (const auto copy = cache_->Commit(*plan)) copies.push_back(*copy);
    return true;
  }
  void Copy(const BlockCopy& copy) {
    ++copies_;
    const auto size = kSize.value();
    std::copy_n(memory_.begin() + copy.from.index() * size, copy.tokens.value(),
                memory_.begin() + copy.to.index() * size);
  }

  std::mt19937 random_;
  std::unique_ptr<KvCache> cache_ = CacheOf(kBlocks, Eviction::kLru, kSize);
  std::vector<int32_t> memory_ = std::vector<int32_t>(kBlocks * kSize.value(), -1);
  std::map<SequenceId, Model> model_;
  Blocks unclaimed_;
  int64_t copies_ = 0;
  int64_t promised_appends_ = 0;
};

TEST(ForkProperty, EverySequenceFindsItsTokensAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  CacheAndModel both(static_cast<uint32_t>(seed));
  for (int step = 0; step < 100000; ++step) {
    both.Step();
    both.Compare();
    ASSERT_FALSE(testing::Test::HasFailure()) << "step " << step;
  }
  EXPECT_GT(both.copies(), 1000) << "the steps came to what they are for";
  EXPECT_GT(both.promised_appends(), 1000);
  both.EndAll();
}

}  // namespace
}  // namespace plimsoll
