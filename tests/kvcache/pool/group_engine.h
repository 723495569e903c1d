// A cache of several groups beside the memory that an engine would have: each token is written as
// what an engine would make of it and of all before it, states too, and all that may be read must
// be there.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/pool/group_cache.h"

namespace plimsoll {

class GroupEngine {
 public:
  // A token has eight bytes in each block, a state eight.
  explicit GroupEngine(const GroupCacheOptions& options)
      : options_(options),
        cache_(Make(options)),
        memory_(static_cast<size_t>(options.slabs * options.slab_bytes.value())) {}

  GroupCache& cache() { return *cache_; }
  const GroupCache& cache() const { return *cache_; }
  const std::vector<int32_t>& TokensOf(SequenceId id) const { return sequences_.at(id).tokens; }
  const std::string& SaltOf(SequenceId id) const { return sequences_.at(id).salt; }
  std::vector<SequenceId> Running() const {
    std::vector<SequenceId> ids;
    for (const auto& [id, sequence] : sequences_) ids.push_back(id);
    return ids;
  }

  // `tokens` are the prompt and what comes after it; what is found must be right.
  std::optional<SequenceId> Begin(const std::string& salt, std::vector<int32_t> tokens,
                                  int64_t prompt_tokens) {
    const auto total = Tokens(std::ssize(tokens));
    const std::optional<GroupStart> start =
        cache_->BeginWith({salt, Names(tokens, 0, prompt_tokens)}, total);
    if (!start) return std::nullopt;
    for (const GroupCopy& copy : start->copies) Copy(copy);
    sequences_[start->id] = {salt, std::move(tokens), cache_->Length(start->id).value()};
    Check(start->id);
    return start->id;
  }
  // Computes `n` tokens more, and names what is full.
  std::vector<GroupCopy> Run(SequenceId id, int64_t n) {
    Sequence& sequence = sequences_.at(id);
    const int64_t before = cache_->Length(id).value();
    cache_->Append(id, Tokens(n));
    Write(id, before, before + n);
    Check(id);
    const int64_t per_block = options_.block_tokens.value();
    const int64_t full = (before + n) / per_block * per_block;
    const auto copies =
        cache_->Name(id, Names(sequence.tokens, std::exchange(sequence.named, full), full));
    for (const GroupCopy& copy : copies) Copy(copy);
    return copies;
  }
  // Computes all tokens up to `length`, in steps of at most the cache's.
  void RunTo(SequenceId id, int64_t length) {
    while (cache_->Length(id).value() < length) {
      Run(id, std::min(options_.step.value(), length - cache_->Length(id).value()));
    }
  }
  // A sequence that goes on with other tokens; nullopt without room.
  std::optional<SequenceId> Fork(SequenceId id, const std::vector<int32_t>& others) {
    Sequence fork = sequences_.at(id);
    const int64_t length = cache_->Length(id).value();
    fork.tokens.resize(static_cast<size_t>(length));
    fork.tokens.insert(fork.tokens.end(), others.begin(), others.end());
    const std::optional<GroupStart> start = cache_->Fork(id, Tokens(std::ssize(fork.tokens)));
    if (!start) return std::nullopt;
    for (const GroupCopy& copy : start->copies) Copy(copy);
    sequences_[start->id] = std::move(fork);
    Check(start->id);
    return start->id;
  }
  void End(SequenceId id) {
    cache_->End(id);
    sequences_.erase(id);
  }
  void Preempt(SequenceId id) { cache_->Preempt(id); }
  // With the first so many of its tokens as the prompt.
  bool Resume(SequenceId id, int64_t prompt_tokens) {
    Sequence& sequence = sequences_.at(id);
    const auto copies =
        cache_->Resume(id, {sequence.salt, Names(sequence.tokens, 0, prompt_tokens)});
    if (!copies) return false;
    for (const GroupCopy& copy : *copies) Copy(copy);
    sequence.named = cache_->Length(id).value();
    Check(id);
    return true;
  }

  // All that the next token may read is there.
  void Check(SequenceId id) const {
    const int64_t length = cache_->Length(id).value();
    for (size_t g = 0; g < options_.groups.size(); ++g) {
      const Retention& retention = options_.groups[g].retention;
      if (retention.kind == Retention::Kind::kState) {
        if (length == 0) continue;
        ASSERT_EQ(Read(StateAt(id, g)), Value(id, length)) << id << " state " << g;
        continue;
      }
      const bool window = retention.kind == Retention::Kind::kWindow;
      const int64_t behind = retention.window.value() - 1;
      for (int64_t i = window ? std::max<int64_t>(0, length - behind) : 0; i < length; ++i) {
        ASSERT_EQ(Read(AddressOf(id, g, i)), Value(id, i + 1)) << id << " group " << g << " " << i;
      }
    }
  }
  BlockNames Names(const std::vector<int32_t>& tokens, int64_t first, int64_t last) const {
    return BlockNames::OfTokens(
        std::span(tokens).subspan(static_cast<size_t>(first), static_cast<size_t>(last - first)),
        options_.block_tokens);
  }

 private:
  struct Sequence {
    std::string salt;
    std::vector<int32_t> tokens;
    int64_t named = 0;
  };

  static std::unique_ptr<GroupCache> Make(const GroupCacheOptions& options) {
    auto cache = GroupCache::Create(options);
    EXPECT_TRUE(cache.ok()) << cache.status();
    return *std::move(cache);
  }
  // What an engine makes of the first `length` tokens.
  uint64_t Value(SequenceId id, int64_t length) const {
    const Sequence& sequence = sequences_.at(id);
    uint64_t value = std::hash<std::string>{}(sequence.salt);
    for (int64_t i = 0; i < length; ++i) {
      value ^= static_cast<uint64_t>(sequence.tokens[static_cast<size_t>(i)]) + 1;
      value = (value ^ (value >> 29)) * 0xbf58476d1ce4e5b9;
    }
    return value;
  }
  void Write(SequenceId id, int64_t first, int64_t last) {
    for (size_t g = 0; g < options_.groups.size(); ++g) {
      if (options_.groups[g].retention.kind == Retention::Kind::kState) {
        Write(StateAt(id, g), Value(id, last));
        continue;
      }
      for (int64_t i = first; i < last; ++i) Write(AddressOf(id, g, i), Value(id, i + 1));
    }
  }
  void Copy(const GroupCopy& copy) {
    std::memmove(memory_.data() + OffsetOf(copy.group, copy.to),
                 memory_.data() + OffsetOf(copy.group, copy.from),
                 static_cast<size_t>(options_.groups[copy.group].block_bytes.value()));
  }
  size_t OffsetOf(size_t group, BlockId block) const {
    return static_cast<size_t>(cache_->pool().OffsetOf(group, block).value());
  }
  size_t StateAt(SequenceId id, size_t group) const {
    return OffsetOf(group, cache_->Table(id, group).blocks[0]);
  }
  size_t AddressOf(SequenceId id, size_t group, int64_t token) const {
    const GroupTable table = cache_->Table(id, group);
    const int64_t per_block = options_.block_tokens.value();
    const BlockId block = table.blocks[static_cast<size_t>(token / per_block - table.first)];
    return OffsetOf(group, block) + static_cast<size_t>(token % per_block) * 8;
  }
  uint64_t Read(size_t at) const {
    uint64_t value = 0;
    std::memcpy(&value, memory_.data() + at, sizeof(value));
    return value;
  }
  void Write(size_t at, uint64_t value) { std::memcpy(memory_.data() + at, &value, sizeof(value)); }

  const GroupCacheOptions options_;
  std::unique_ptr<GroupCache> cache_;
  std::vector<std::byte> memory_;
  std::map<SequenceId, Sequence> sequences_;
};

}  // namespace plimsoll
