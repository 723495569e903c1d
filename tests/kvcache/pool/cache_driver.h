// Drives a cache with everything on: sharing, forks, drafts, events, preemption and a swap tier.
// What it does next is chosen from outside, by a random generator or by a fuzzer's bytes.
//
// Each sequence is a list of tokens. The blocks have memory here, which is written and copied as
// the cache and the tier say. After any step, FindViolation says what is wrong: a sequence that
// does not find its own tokens, a count that does not add up, a mirror of the named blocks that has
// lost them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/pool/arena.h"
#include "kvcache/pool/kv_cache.h"
#include "kvcache/pool/swap_tier.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {

class CacheDriver {
 public:
  // Says a number from 0 to its argument.
  using Choose = std::function<int64_t(int64_t)>;

  CacheDriver(Eviction eviction, Choose choose, Blocks chunk = Blocks(0))
      : choose_(std::move(choose)) {
    auto cache = KvCache::Create({.capacity = Blocks(kBlocks - 4),
                                  .block_tokens = kSize,
                                  .eviction = eviction,
                                  .chunk = chunk,
                                  .most = Blocks(kBlocks),
                                  .events = 16});
    PLIMSOLL_CHECK(cache.ok(), cache.status());
    cache_ = *std::move(cache);
    auto arena = CreateHostArena(Bytes(4096), Bytes(4096));
    PLIMSOLL_CHECK(arena.ok(), arena.status());
    auto tier = SwapTier::Create(*cache_, *std::move(arena), kBlockBytes, Blocks(8));
    PLIMSOLL_CHECK(tier.ok(), tier.status());
    tier_ = *std::move(tier);
  }

  void Step() {
    if (running_.empty() || (Known() < 9 && choose_(7) == 0)) return Begin();
    if (!away_.empty() && choose_(5) == 0) return ComeBack();
    const SequenceId id = Any(running_);
    switch (choose_(12)) {
      case 0:
        return End(id);
      case 1:
        return Preempt(id);
      case 2:
        return SwapOut(id);
      case 3:
        return Fork(id);
      case 4:
      case 5:
        return Truncate(id);
      case 6:
      case 7:
        return Name(id);
      case 8:
        return Maintain();
      case 9:
        return Resize();
      default:
        return Append(id);
    }
  }

  std::optional<std::string> FindViolation() {
    if (auto wrong = cache_->FindViolation()) return wrong;
    if (auto wrong = tier_->FindViolation()) return wrong;
    for (const auto& [id, m] : running_) {
      for (size_t i = 0; i < m.tokens.size(); ++i) {
        if (*SlotOf(id, i) == m.tokens[i]) continue;
        return "sequence " + std::to_string(id.number()) + " lost token " + std::to_string(i);
      }
    }
    return FindWrongMirror();
  }

  const KvCache& cache() const { return *cache_; }
  const SwapTier& tier() const { return *tier_; }
  int64_t copies() const { return copies_; }
  int64_t came_back() const { return came_back_; }
  int64_t moved() const { return moved_; }

 private:
  static constexpr int64_t kBlocks = 30;
  static constexpr Tokens kSize{2};
  static constexpr Bytes kBlockBytes{2 * sizeof(int32_t)};

  struct Model {
    std::vector<int32_t> tokens;
    int64_t named = 0;
    char salt = 'a';
  };
  using Models = std::map<SequenceId, Model>;
  using Key = std::pair<uint64_t, uint64_t>;

  int64_t Known() const { return std::ssize(running_) + std::ssize(away_); }
  SequenceId Any(const Models& models) {
    return std::next(models.begin(), choose_(std::ssize(models) - 1))->first;
  }
  static std::string_view SaltOf(const Model& m) { return {&m.salt, 1}; }
  static BlockNames NamesOf(const Model& m) { return BlockNames::OfTokens(m.tokens, kSize); }
  static Blocks NeededBy(const Model& m) {
    return BlocksForSequence(Tokens(std::ssize(m.tokens)), kSize);
  }
  std::byte* DeviceAt(BlockId block) {
    return memory_.data() + block.index() * kBlockBytes.value();
  }
  int32_t* SlotOf(SequenceId id, size_t i) {
    return reinterpret_cast<int32_t*>(DeviceAt(cache_->Table(id)[i / 2])) + i % 2;
  }
  void Copy(std::byte* to, const std::byte* from, Tokens tokens) {
    ++copies_;
    std::memcpy(to, from, static_cast<size_t>(tokens.value()) * sizeof(int32_t));
  }
  void Write(SequenceId id, const Model& m, size_t first) {
    for (size_t i = first; i < m.tokens.size(); ++i) *SlotOf(id, i) = m.tokens[i];
  }

  void Begin() {
    Model m;
    m.salt = choose_(5) == 0 ? 'b' : 'a';
    for (int64_t n = choose_(6); n > 0; --n) m.tokens.push_back(static_cast<int32_t>(choose_(1)));
    const auto id = cache_->BeginWith({SaltOf(m), NamesOf(m)}, Blocks(choose_(6)));
    if (!id) return;
    m.named = cache_->Found(*id).value();
    m.tokens.resize(static_cast<size_t>(cache_->Length(*id).value()));
    running_[*id] = m;
  }
  void End(SequenceId id) {
    cache_->End(id);
    running_.erase(id);
  }
  void Preempt(SequenceId id) {
    const Blocks expected = cache_->available() + cache_->RoomIfPreempted(id);
    cache_->Preempt(id);
    PLIMSOLL_CHECK(cache_->available() == expected, id, cache_->available(), expected);
    away_.insert(running_.extract(id));
  }
  void SwapOut(SequenceId id) {
    const auto copies = tier_->SwapOut(id);
    if (!copies) return;
    for (const BlockCopy& copy : *copies) {
      Copy(tier_->At(copy.to), DeviceAt(copy.from), copy.tokens);
    }
    away_.insert(running_.extract(id));
  }
  // Swapped in, computed again, or not at all.
  void ComeBack() {
    const SequenceId id = Any(away_);
    const bool swapped = tier_->Has(id);
    if (swapped && choose_(3) > 0) return SwapIn(id);
    if (swapped) tier_->Drop(id);
    Model& m = away_[id];
    const Prompt prompt{SaltOf(m), NamesOf(m)};
    if (!cache_->Resume(id, prompt, NeededBy(m) + Blocks(choose_(1)))) return;
    const Tokens found = cache_->Length(id);
    if (found < Tokens(std::ssize(m.tokens))) {
      const auto plan = cache_->PlanAppend(id, Tokens(std::ssize(m.tokens)) - found);
      PLIMSOLL_CHECK(plan && plan->from_free == Blocks(0), id);
      cache_->Commit(*plan);
      Write(id, m, static_cast<size_t>(found.value()));
    }
    IsBack(id);
  }
  void SwapIn(SequenceId id) {
    const Model& m = away_[id];
    const auto copies =
        tier_->SwapIn(id, {SaltOf(m), NamesOf(m)}, NeededBy(m) + Blocks(choose_(1)));
    if (!copies) return;
    for (const BlockCopy& copy : *copies) {
      Copy(DeviceAt(copy.to), tier_->At(copy.from), copy.tokens);
    }
    IsBack(id);
  }
  void IsBack(SequenceId id) {
    ++came_back_;
    away_[id].named = cache_->Found(id).value();
    running_.insert(away_.extract(id));
  }
  void Fork(SequenceId id) {
    const Blocks promised(1 + choose_(2));
    if (Known() >= 9 || !cache_->Promise(promised)) return;
    const Model m = running_[id];
    running_[cache_->Fork(id, promised)] = m;
  }
  void Truncate(SequenceId id) {
    Model& m = running_[id];
    const int64_t length = std::ssize(m.tokens) - choose_(std::ssize(m.tokens));
    cache_->Truncate(id, Tokens(length));
    m.tokens.resize(static_cast<size_t>(length));
    m.named = std::min(m.named, length / kSize.value());
  }
  void Name(SequenceId id) {
    Model& m = running_[id];
    const int64_t count = choose_(std::ssize(m.tokens) / kSize.value() - m.named);
    cache_->Name(id, NamesOf(m).Subrange(m.named, count));
    m.named += count;
    const Blocks found = cache_->Find({SaltOf(m), NamesOf(m).Subrange(0, m.named)}).blocks;
    PLIMSOLL_CHECK(found == Blocks(m.named), id, found, m.named);
  }
  void Append(SequenceId id) {
    const auto plan = cache_->PlanAppend(id, Tokens(1 + choose_(3)), Tokens(choose_(3)));
    if (!plan) return;
    if (const auto copy = cache_->Commit(*plan)) {
      Copy(DeviceAt(copy->to), DeviceAt(copy->from), copy->tokens);
    }
    Model& m = running_[id];
    const size_t first = m.tokens.size();
    while (Tokens(std::ssize(m.tokens)) < plan->new_length) {
      m.tokens.push_back(static_cast<int32_t>(choose_(1)));
    }
    Write(id, m, first);
  }
  void Maintain() {
    if (choose_(3) == 0) return cache_->TrimCached(Blocks(choose_(10)));
    if (choose_(3) == 0) {
      const bool idle = cache_->counts().live == Blocks(0);
      PLIMSOLL_CHECK(cache_->ForgetNames() == idle);
      return;
    }
    cache_->Forgo(std::exchange(unclaimed_, Blocks(0)));
    const Blocks n(choose_(6));
    if (cache_->Promise(n)) unclaimed_ = n;
  }

  // What is not there any more is overwritten, so that whoever still reads it is found out.
  void Resize() {
    const BlockCounts before = cache_->counts();
    const Blocks total(kBlocks - choose_(16));
    const auto moves = cache_->PrepareResize(total);
    PLIMSOLL_CHECK(moves.has_value() == (before.live + before.reserved <= total), total);
    if (!moves) {
      PLIMSOLL_CHECK(cache_->counts() == before);
      return;
    }
    moved_ += std::ssize(*moves);
    for (const auto& [from, to] : *moves) Copy(DeviceAt(to), DeviceAt(from), kSize);
    cache_->Resize(total, *moves);
    PLIMSOLL_CHECK(cache_->counts().total == total);
    std::fill(memory_.begin() + total.value() * kBlockBytes.value(), memory_.end(),
              std::byte{0xff});
  }

  // The mirror applies what was told; a snapshot taken now must say the same.
  std::optional<std::string> FindWrongMirror() {
    const auto events = cache_->EventsSince(mirrored_, INT64_MAX);
    if (!events && cache_->LastEvent() - mirrored_ <= 16) return "events are gone too early";
    Apply(events ? *events : cache_->EventSnapshot(), mirror_);
    mirrored_ = cache_->LastEvent();
    std::map<Key, std::optional<Key>> there;
    Apply(cache_->EventSnapshot(), there);
    if (there == mirror_) return std::nullopt;
    return "a mirror has " + std::to_string(mirror_.size()) + " blocks of " +
           std::to_string(there.size());
  }
  static void Apply(const std::vector<BlockEvent>& events, std::map<Key, std::optional<Key>>& to) {
    for (const BlockEvent& event : events) {
      if (event.kind == BlockEventKind::kCleared) to.clear();
      std::optional<Key> parent;
      if (event.parent_block_hash) {
        parent = Key(event.parent_block_hash->low, event.parent_block_hash->high);
      }
      for (const PrefixKey& hash : event.block_hashes) {
        const Key key(hash.low, hash.high);
        const bool stored = event.kind == BlockEventKind::kStored;
        const bool changed = stored ? to.emplace(key, parent).second : to.erase(key) == 1;
        PLIMSOLL_CHECK(changed, stored);
        if (stored) PLIMSOLL_CHECK(!parent || to.contains(*parent));
        parent = key;
      }
    }
  }

  Choose choose_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<SwapTier> tier_;
  std::vector<std::byte> memory_ = std::vector<std::byte>(kBlocks * kBlockBytes.value());
  Models running_, away_;
  Blocks unclaimed_;
  std::map<Key, std::optional<Key>> mirror_;  // what each named block follows
  int64_t mirrored_ = 0;
  int64_t copies_ = 0;
  int64_t came_back_ = 0;
  int64_t moved_ = 0;
};

}  // namespace plimsoll
