// Every call of an arena fails once, in lives of tiers that are made and dropped while sequences
// run: a call that fails leaves everything as it was, and what comes after it goes on.
#include <gmock/gmock.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "kvcache/pool/swap_tier.h"
#include "tests/kvcache/pool/caches.h"

namespace plimsoll {
namespace {

constexpr Bytes kChunk(4096);
constexpr int64_t kChunks = 3;

// Counts the calls of all arenas, and fails one of them.
struct Faults {
  int64_t calls = 0;
  int64_t fails = -1;  // the number of the call that fails, from 0
  Bytes committed;     // by all arenas

  absl::Status Next() {
    return calls++ == fails ? absl::ResourceExhaustedError("pretended") : absl::OkStatus();
  }
  bool Failed() const { return fails >= 0 && calls > fails; }
};

// The host's memory, but for the call that fails.
class FaultyArena final : public Arena {
 public:
  explicit FaultyArena(Faults& faults)
      : faults_(faults), arena_(*CreateHostArena(kChunks * kChunk, kChunk)) {}
  ~FaultyArena() override { faults_.committed -= arena_->committed_bytes(); }

  std::string_view kind() const override { return "faulty"; }
  std::byte* base() const override { return arena_->base(); }
  Bytes chunk_bytes() const override { return arena_->chunk_bytes(); }
  int64_t chunks() const override { return arena_->chunks(); }
  Bytes committed_bytes() const override { return arena_->committed_bytes(); }
  absl::Status Commit(ChunkRange range) override {
    return Counted([&] { return arena_->Commit(range); });
  }
  absl::Status Decommit(ChunkRange range) override {
    return Counted([&] { return arena_->Decommit(range); });
  }
  absl::StatusOr<int> Export(int64_t chunk) override {
    if (absl::Status fault = faults_.Next(); !fault.ok()) return fault;
    return arena_->Export(chunk);
  }

 private:
  template <class Call>
  absl::Status Counted(const Call& call) {
    if (absl::Status fault = faults_.Next(); !fault.ok()) return fault;
    const Bytes before = arena_->committed_bytes();
    const absl::Status status = call();
    faults_.committed += arena_->committed_bytes();
    faults_.committed -= before;
    return status;
  }

  Faults& faults_;
  const std::unique_ptr<Arena> arena_;
};

// Sequences of one cache, some of them in a tier, and tiers that come and go. Two lives of one seed
// do the same until a call fails in one of them.
class Life {
 public:
  Life(uint32_t seed, int64_t fails) : random_(seed) { faults_.fails = fails; }

  void Step() {
    if (!tier_) return MakeTier();
    switch (Upto(9)) {
      case 0:
        return DropTier();
      case 1:
      case 2:
        return SwapOut();
      case 3:
      case 4:
        return SwapIn();
      case 5:
        return Begin();
      default:
        return Append();
    }
  }
  // Ends all; whatever failed, nothing may be left.
  void End() {
    if (tier_) DropTier();
    for (const auto& [id, length] : running_) cache_->End(id);
    EXPECT_EQ(cache_->counts(), CountsOf(kBlocks, 0, 0, 0));
    EXPECT_EQ(faults_.committed, Bytes(0));
  }
  void Check() const {
    ASSERT_EQ(cache_->FindViolation(), std::nullopt);
    for (const auto& [id, length] : running_) ASSERT_EQ(cache_->Length(id), length);
    if (!tier_) {
      ASSERT_EQ(faults_.committed, Bytes(0));
      return;
    }
    ASSERT_EQ(tier_->FindViolation(), std::nullopt);
    for (const auto& [id, length] : away_) ASSERT_EQ(tier_->Length(id), length);
  }
  const Faults& faults() const { return faults_; }

 private:
  static constexpr int64_t kBlocks = 24;

  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }
  SequenceId Any(const std::map<SequenceId, Tokens>& sequences) {
    return std::next(sequences.begin(), Upto(std::ssize(sequences) - 1))->first;
  }
  // A failure says what failed, takes no memory and leaves the cache alone.
  void MakeTier() {
    const BlockCounts before = cache_->counts();
    const bool failed_before = faults_.Failed();
    auto tier = SwapTier::Create(*cache_, std::make_unique<FaultyArena>(faults_), Bytes(512),
                                 Blocks(1 + Upto(kChunks * 8 - 1)));
    EXPECT_EQ(tier.ok(), failed_before || !faults_.Failed());
    if (tier.ok()) {
      tier_ = *std::move(tier);
      return;
    }
    EXPECT_EQ(tier.status(), absl::ResourceExhaustedError("pretended"));
    EXPECT_EQ(faults_.committed, Bytes(0));
    EXPECT_EQ(cache_->counts(), before);
  }
  // What is in it is lost, and computed again from nothing.
  void DropTier() {
    for (const auto& [id, length] : away_) {
      tier_->Drop(id);
      cache_->End(id);
    }
    away_.clear();
    tier_.reset();
  }
  void Begin() {
    if (running_.size() + away_.size() < 8) running_[cache_->Begin(Blocks(0))] = Tokens(0);
  }
  void Append() {
    if (running_.empty()) return Begin();
    const auto plan = cache_->PlanAppend(Any(running_), Tokens(1 + Upto(20)));
    if (!plan) return;
    cache_->Commit(*plan);
    running_[plan->sequence] = plan->new_length;
  }
  void SwapOut() {
    if (running_.empty()) return;
    const SequenceId id = Any(running_);
    if (tier_->SwapOut(id)) away_.insert(running_.extract(id));
  }
  void SwapIn() {
    if (away_.empty()) return;
    const SequenceId id = Any(away_);
    const Blocks total = BlocksCovering(away_[id], cache_->block_tokens());
    if (tier_->SwapIn(id, {}, total)) running_.insert(away_.extract(id));
  }

  std::mt19937 random_;
  Faults faults_;
  std::unique_ptr<KvCache> cache_ = CacheWith(kBlocks, Eviction::kOff, Tokens(4));
  std::unique_ptr<SwapTier> tier_;
  std::map<SequenceId, Tokens> running_, away_;
};

// Lives one life, and says how many calls of an arena there were.
int64_t Calls(uint32_t seed, int64_t fails, int64_t steps) {
  Life life(seed, fails);
  for (int64_t step = 0; step < steps && !testing::Test::HasFailure(); ++step) {
    life.Step();
    life.Check();
  }
  life.End();
  EXPECT_TRUE(fails < 0 || life.faults().Failed());
  return life.faults().calls;
}

TEST(ArenaFaults, WhicheverCallFailsEverythingIsAsBefore) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  constexpr int64_t kSteps = 300;
  const int64_t calls = Calls(static_cast<uint32_t>(seed), -1, kSteps);
  EXPECT_GT(calls, 10) << "the steps came to what they are for";
  for (int64_t fails = 0; fails < calls; ++fails) {
    SCOPED_TRACE("call " + std::to_string(fails) + " fails");
    Calls(static_cast<uint32_t>(seed), fails, kSteps);
  }
}

}  // namespace
}  // namespace plimsoll
