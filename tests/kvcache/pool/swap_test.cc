// Sequences that are preempted: computed again, or swapped to the host's memory and back.
#include <gmock/gmock.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kvcache/pool/swap_tier.h"
#include "kvcache/sizing/block_demand.h"
#include "tests/kvcache/pool/caches.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr Tokens kBlockTokens(2);
constexpr Bytes kChunk(4096);
constexpr Bytes kBlockBytes(2 * sizeof(int32_t));  // a token is four bytes of memory here

std::unique_ptr<KvCache> CacheOf(int64_t blocks, Eviction eviction = Eviction::kLru) {
  return CacheWith(blocks, eviction, kBlockTokens);
}

std::unique_ptr<Arena> HostMemory() {
  auto arena = CreateHostArena(kChunk, kChunk);
  EXPECT_TRUE(arena.ok()) << arena.status();
  return *std::move(arena);
}

std::unique_ptr<SwapTier> TierOf(KvCache& cache, int64_t blocks) {
  auto tier = SwapTier::Create(cache, HostMemory(), kBlockBytes, Blocks(blocks));
  EXPECT_TRUE(tier.ok()) << tier.status();
  return *std::move(tier);
}

BlockNames NamesOf(const std::vector<int32_t>& tokens) {
  return BlockNames::OfTokens(tokens, kBlockTokens);
}

void Append(KvCache& cache, SequenceId id, int64_t tokens) {
  const auto plan = cache.PlanAppend(id, Tokens(tokens));
  ASSERT_TRUE(plan.has_value());
  cache.Commit(*plan);
}

// Five tokens with room for eight, the first two blocks of them named.
SequenceId Five(KvCache& cache) {
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5};
  const SequenceId id = *cache.BeginWith({"", NamesOf(tokens)}, Blocks(4));
  Append(cache, id, 5);
  cache.Name(id, NamesOf(tokens));
  return id;
}

TEST(Preempt, EverythingIsGivenUpAndWhatIsNamedIsFoundAgain) {
  const auto cache = CacheOf(6);
  const SequenceId id = Five(*cache);
  EXPECT_EQ(cache->counts(), CountsOf(6, 3, 0, 1));
  EXPECT_EQ(cache->RoomIfPreempted(id), Blocks(4));
  cache->Preempt(id);
  EXPECT_EQ(cache->counts(), CountsOf(6, 0, 2, 0));
  EXPECT_EQ(cache->Length(id), Tokens(0));

  ASSERT_TRUE(cache->Promise(Blocks(3)));
  EXPECT_FALSE(cache->Resume(id, {"", NamesOf({1, 2, 3, 4, 5})}, Blocks(6)));
  EXPECT_TRUE(cache->Resume(id, {"", NamesOf({1, 2, 3, 4, 5})}, Blocks(3)));
  EXPECT_EQ(cache->Length(id), Tokens(4)) << "one token is to be computed again";
  EXPECT_EQ(cache->counts(), CountsOf(6, 2, 0, 4));
  cache->End(id);
  EXPECT_EQ(cache->counts(), CountsOf(6, 0, 2, 3));
}

TEST(Preempt, WithoutSharingAllIsComputedAgain) {
  const auto cache = CacheOf(4, Eviction::kOff);
  const SequenceId id = cache->Begin(Blocks(0));
  Append(*cache, id, 5);
  cache->Preempt(id);
  EXPECT_EQ(cache->counts(), CountsOf(4, 0, 0, 0));
  EXPECT_FALSE(cache->Resume(id, {}, Blocks(5)));
  EXPECT_TRUE(cache->Resume(id, {}, Blocks(4)));
  EXPECT_EQ(cache->Length(id), Tokens(0));
  EXPECT_EQ(cache->PromiseLeft(id), Blocks(4));
}

TEST(Preempt, OnlyWhatNobodyElseHoldsMakesRoom) {
  const auto cache = CacheOf(8, Eviction::kOff);
  ASSERT_TRUE(cache->Promise(Blocks(5)));
  const SequenceId parent = cache->Begin(Blocks(3));
  Append(*cache, parent, 5);
  const SequenceId fork = cache->Fork(parent, Blocks(2));
  EXPECT_EQ(cache->RoomIfPreempted(parent), Blocks(1)) << "what is set aside for a copy";
  EXPECT_EQ(cache->RoomIfPreempted(fork), Blocks(2)) << "that, and what it was promised";
  const Blocks before = cache->available();
  cache->Preempt(fork);
  EXPECT_EQ(cache->available(), before + Blocks(2));
}

TEST(PreemptDeathTest, OnlyAnEmptySequenceResumesAndOnlyThenItNames) {
  const auto cache = CacheOf(6);
  const SequenceId id = Five(*cache);
  EXPECT_DEATH(cache->Resume(id, {}, Blocks(1)), "check failed.*sequence 0 5 1");
  cache->Preempt(id);
  Append(*cache, id, 6);
  EXPECT_DEATH(cache->Name(id, NamesOf({5, 6})), "check failed.*sequence 0");
}

TEST(Swap, OutToTheHostAndBackToOtherBlocks) {
  const auto cache = CacheOf(8);
  const auto tier = TierOf(*cache, 4);
  const SequenceId id = Five(*cache);
  const std::vector<BlockId> table(cache->Table(id).begin(), cache->Table(id).end());
  const auto out = tier->SwapOut(id);
  ASSERT_TRUE(out.has_value());
  EXPECT_THAT(*out, ElementsAre(BlockCopy{table[0], BlockId(0), Tokens(2)},
                                BlockCopy{table[1], BlockId(1), Tokens(2)},
                                BlockCopy{table[2], BlockId(2), Tokens(1)}));
  EXPECT_EQ(tier->Length(id), Tokens(5));
  EXPECT_EQ(cache->counts(), CountsOf(8, 0, 2, 0));
  EXPECT_EQ(tier->counts(), (SwapCounts{.total = Blocks(4),
                                        .held = Blocks(3),
                                        .free = Blocks(1),
                                        .sequences = 1,
                                        .copied_out = Blocks(3),
                                        .copied_in = Blocks(0)}));

  ASSERT_TRUE(cache->Promise(Blocks(7)));  // one of the two named blocks goes for it
  EXPECT_EQ(tier->SwapIn(id, {"", NamesOf({1, 2, 3, 4, 5})}, Blocks(4)), std::nullopt);
  cache->Forgo(Blocks(3));
  const auto in = tier->SwapIn(id, {"", NamesOf({1, 2, 3, 4, 5})}, Blocks(4));
  ASSERT_TRUE(in.has_value());
  EXPECT_THAT(*in, ElementsAre(BlockCopy{BlockId(1), cache->Table(id)[1], Tokens(2)},
                               BlockCopy{BlockId(2), cache->Table(id)[2], Tokens(1)}))
      << "the first block was still there";
  EXPECT_EQ(cache->Length(id), Tokens(5));
  EXPECT_EQ(cache->PromiseLeft(id), Blocks(1));
  EXPECT_FALSE(tier->Has(id));
  EXPECT_EQ(tier->counts().free, Blocks(4));
  EXPECT_EQ(tier->counts().copied_in, Blocks(2));
}

TEST(Swap, AFullTierAnswersNoAndChangesNothing) {
  const auto cache = CacheOf(8);
  const auto tier = TierOf(*cache, 2);
  const SequenceId id = Five(*cache);
  const BlockCounts before = cache->counts();
  EXPECT_EQ(tier->SwapOut(id), std::nullopt);
  EXPECT_EQ(cache->counts(), before);
  EXPECT_EQ(cache->Length(id), Tokens(5));
  EXPECT_EQ(tier->counts().held, Blocks(0));
}

TEST(Swap, WhatIsDroppedMakesRoom) {
  const auto cache = CacheOf(8);
  const auto tier = TierOf(*cache, 3);
  const SequenceId id = Five(*cache);
  ASSERT_TRUE(tier->SwapOut(id).has_value());
  tier->Drop(id);
  EXPECT_EQ(tier->counts().free, Blocks(3));
  EXPECT_TRUE(cache->Resume(id, {"", NamesOf({1, 2, 3, 4})}, Blocks(3))) << "computed again";
}

TEST(Swap, TheMemoryIsTakenAtOnceOrNotAtAll) {
  const auto cache = CacheOf(8);
  const auto create = [&](Bytes block_bytes, int64_t blocks) {
    return SwapTier::Create(*cache, HostMemory(), block_bytes, Blocks(blocks)).status();
  };
  EXPECT_TRUE(create(Bytes(8), 512).ok());
  EXPECT_THAT(std::string(create(Bytes(8), 513).message()), HasSubstr("swap_blocks=513"));
  EXPECT_THAT(std::string(create(Bytes(0), 1).message()), HasSubstr("block_bytes=0"));
  EXPECT_THAT(std::string(create(Bytes(8), 0).message()), HasSubstr("blocks=0"));
}

class NoMemory final : public Arena {
 public:
  std::string_view kind() const override { return "none"; }
  std::byte* base() const override { return nullptr; }
  Bytes chunk_bytes() const override { return kChunk; }
  int64_t chunks() const override { return 4; }
  Bytes committed_bytes() const override { return Bytes(0); }
  absl::Status Commit(ChunkRange) override { return absl::ResourceExhaustedError("all gone"); }
  absl::Status Decommit(ChunkRange) override { return absl::OkStatus(); }
  absl::StatusOr<int> Export(int64_t) override { return absl::UnimplementedError("no"); }
};

TEST(Swap, AnArenaWithoutMemorySaysSo) {
  const auto cache = CacheOf(8);
  const auto tier = SwapTier::Create(*cache, std::make_unique<NoMemory>(), kBlockBytes, Blocks(9));
  EXPECT_EQ(tier.status(), absl::ResourceExhaustedError("all gone"));
}

TEST(SwapDeathTest, MisuseAborts) {
  const auto cache = CacheOf(8);
  const auto tier = TierOf(*cache, 8);
  const SequenceId id = Five(*cache);
  EXPECT_DEATH(tier->Drop(id), "check failed.*sequence 0");
  ASSERT_TRUE(tier->SwapOut(id).has_value());
  EXPECT_DEATH(tier->SwapOut(id), "check failed.*sequence 0");
  EXPECT_DEATH(tier->SwapIn(id, {}, Blocks(2)), "check failed.*sequence 0 2 5");
  EXPECT_DEATH(tier->At(BlockId(8)), "check failed.*block 8 8");
}

// Each sequence is its tokens, and is running, preempted or swapped out. The tokens are in the
// memory of two arenas, copied as the tier says; whoever runs must find its own in the first.
class CacheAndModel {
 public:
  explicit CacheAndModel(uint32_t seed) : random_(seed) {
    EXPECT_TRUE(device_->Commit({.first = 0, .count = 1}).ok());
  }

  void Step() {
    if (model_.empty() || (model_.size() < 9 && Upto(6) == 0)) return Begin();
    const SequenceId id = Any();
    const State state = model_[id].state;
    if (Upto(12) == 0) return End(id);
    if (state == State::kPreempted) return Resume(id);
    if (state == State::kSwapped) return SwapIn(id);
    switch (Upto(7)) {
      case 0:
        return Preempt(id);
      case 1:
        return SwapOut(id);
      case 2:
        return Fork(id);
      case 3:
      case 4:
        return Name(id);
      default:
        return Append(id);
    }
  }
  void Compare() const {
    ASSERT_EQ(cache_->FindViolation(), std::nullopt);
    ASSERT_EQ(tier_->FindViolation(), std::nullopt);
    const SwapCounts counts = tier_->counts();
    ASSERT_EQ(counts.held + counts.free, counts.total);
    Blocks swapped;
    for (const auto& [id, m] : model_) {
      const Tokens length(std::ssize(m.tokens));
      ASSERT_EQ(tier_->Has(id), m.state == State::kSwapped);
      if (m.state == State::kSwapped) swapped += BlocksForSequence(length, kBlockTokens);
      ASSERT_EQ(cache_->Length(id), m.state == State::kRuns ? length : Tokens(0));
      for (size_t i = 0; m.state == State::kRuns && i < m.tokens.size(); ++i) {
        ASSERT_EQ(*SlotOf(id, i), m.tokens[i]) << id << " token " << i;
      }
    }
    ASSERT_EQ(counts.held, swapped);
  }
  int64_t swapped_in() const { return swapped_in_; }
  int64_t resumed() const { return resumed_; }

 private:
  enum class State : uint8_t { kRuns, kPreempted, kSwapped };
  struct Model {
    std::vector<int32_t> tokens;
    State state = State::kRuns;
    int64_t named = 0;
  };

  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }
  SequenceId Any() { return std::next(model_.begin(), Upto(std::ssize(model_) - 1))->first; }
  std::byte* DeviceAt(BlockId block) const {
    return device_->base() + block.index() * kBlockBytes.value();
  }
  int32_t* SlotOf(SequenceId id, size_t i) const {
    return reinterpret_cast<int32_t*>(DeviceAt(cache_->Table(id)[i / 2])) + i % 2;
  }
  static size_t BytesOf(const BlockCopy& copy) {
    return static_cast<size_t>(copy.tokens.value()) * sizeof(int32_t);
  }
  void Write(SequenceId id, size_t first) {
    for (size_t i = first; i < model_[id].tokens.size(); ++i) *SlotOf(id, i) = model_[id].tokens[i];
  }

  void Begin() {
    Model m;
    for (int64_t n = Upto(6); n > 0; --n) m.tokens.push_back(static_cast<int32_t>(Upto(1)));
    const auto id = cache_->BeginWith({"", NamesOf(m.tokens)}, Blocks(Upto(5)));
    if (!id) return;
    m.named = cache_->Found(*id).value();
    m.tokens.resize(static_cast<size_t>(cache_->Length(*id).value()));
    model_[*id] = m;
  }
  void End(SequenceId id) {
    if (model_[id].state == State::kSwapped) tier_->Drop(id);
    cache_->End(id);
    model_.erase(id);
  }
  void Fork(SequenceId id) {
    const Blocks promised(1 + Upto(1));
    if (model_.size() >= 9 || !cache_->Promise(promised)) return;
    const SequenceId fork = cache_->Fork(id, promised);
    model_[fork] = model_[id];
  }
  void Name(SequenceId id) {
    Model& m = model_[id];
    const int64_t full = std::ssize(m.tokens) / kBlockTokens.value();
    cache_->Name(id, NamesOf(m.tokens).Subrange(m.named, full - m.named));
    m.named = full;
  }
  void Append(SequenceId id) {
    Model& m = model_[id];
    const auto plan = cache_->PlanAppend(id, Tokens(1 + Upto(2)));
    if (!plan) return;
    if (const auto copy = cache_->Commit(*plan)) {
      std::memcpy(DeviceAt(copy->to), DeviceAt(copy->from), BytesOf(*copy));
    }
    const size_t first = m.tokens.size();
    while (Tokens(std::ssize(m.tokens)) < plan->new_length) {
      m.tokens.push_back(static_cast<int32_t>(Upto(1)));
    }
    Write(id, first);
  }
  void Preempt(SequenceId id) {
    const Blocks expected = cache_->available() + cache_->RoomIfPreempted(id);
    cache_->Preempt(id);
    ASSERT_EQ(cache_->available(), expected);
    model_[id].state = State::kPreempted;
  }
  Blocks Needed(SequenceId id) const {
    return BlocksForSequence(Tokens(std::ssize(model_.at(id).tokens)), kBlockTokens);
  }
  void Resume(SequenceId id) {
    Model& m = model_[id];
    if (!cache_->Resume(id, {"", NamesOf(m.tokens)}, Needed(id) + Blocks(Upto(1)))) return;
    ++resumed_;
    const auto found = static_cast<size_t>(cache_->Length(id).value());
    m.state = State::kRuns;
    m.named = cache_->Found(id).value();
    if (found == m.tokens.size()) return;
    const auto plan = cache_->PlanAppend(id, Tokens(std::ssize(m.tokens)) - cache_->Length(id));
    ASSERT_TRUE(plan && plan->from_free == Blocks(0));
    cache_->Commit(*plan);
    Write(id, found);
  }
  void SwapOut(SequenceId id) {
    const auto copies = tier_->SwapOut(id);
    const bool fits = Needed(id) <= tier_->counts().free + (copies ? Needed(id) : Blocks(0));
    ASSERT_EQ(copies.has_value(), fits);
    if (!copies) return;
    for (const BlockCopy& copy : *copies) {
      std::memcpy(tier_->At(copy.to), DeviceAt(copy.from), BytesOf(copy));
    }
    model_[id].state = State::kSwapped;
  }
  void SwapIn(SequenceId id) {
    Model& m = model_[id];
    const auto copies = tier_->SwapIn(id, {"", NamesOf(m.tokens)}, Needed(id) + Blocks(Upto(1)));
    if (!copies) return;
    ++swapped_in_;
    for (const BlockCopy& copy : *copies) {
      std::memcpy(DeviceAt(copy.to), tier_->At(copy.from), BytesOf(copy));
    }
    m.state = State::kRuns;
    m.named = cache_->Found(id).value();
  }

  std::mt19937 random_;
  std::unique_ptr<KvCache> cache_ = CacheOf(22);
  std::unique_ptr<SwapTier> tier_ = TierOf(*cache_, 9);
  std::unique_ptr<Arena> device_ = HostMemory();
  std::map<SequenceId, Model> model_;
  int64_t swapped_in_ = 0;
  int64_t resumed_ = 0;
};

TEST(SwapProperty, WhoRunsFindsItsTokensAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  CacheAndModel both(static_cast<uint32_t>(seed));
  StepAndCompare(both, StepsOr(100'000));
  ASSERT_FALSE(HasFailure());
  EXPECT_GT(both.swapped_in(), 1000) << "the steps came to what they are for";
  EXPECT_GT(both.resumed(), 1000);
}

}  // namespace
}  // namespace plimsoll
