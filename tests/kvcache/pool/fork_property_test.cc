// Forks, truncation and lookahead in any order, beside a model in plain words.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "kvcache/pool/kv_cache.h"
#include "kvcache/sizing/block_demand.h"
#include "tests/kvcache/pool/caches.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

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
  std::unique_ptr<KvCache> cache_ = CacheWith(kBlocks, Eviction::kLru, kSize);
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
  StepAndCompare(both, StepsOr(100'000));
  ASSERT_FALSE(HasFailure());
  EXPECT_GT(both.copies(), 1000) << "the steps came to what they are for";
  EXPECT_GT(both.promised_appends(), 1000);
  both.EndAll();
}

}  // namespace
}  // namespace plimsoll
