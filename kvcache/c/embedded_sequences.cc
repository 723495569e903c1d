// The sequences of a pool that is embedded.
#include <algorithm>
#include <string_view>

#include "kvcache/c/answers.h"
#include "kvcache/c/boundary.h"
#include "kvcache/c/embedded_pool.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll::c_interface {
namespace {

// No list is longer than the tokens that anything may have.
absl::Status CheckList(std::string_view field, const void* list, size_t count) {
  if (count > 0 && list == nullptr) return NullArgument(field);
  if (count <= static_cast<size_t>(kMaxTokens)) return absl::OkStatus();
  return BadField(field, std::to_string(count) + " entries", "at most 2^40");
}

// What the caller's structure says; nothing for null.
absl::StatusOr<plimsoll_prompt> PromptFrom(const plimsoll_prompt* prompt) {
  if (prompt == nullptr) return plimsoll_prompt{};
  absl::StatusOr<plimsoll_prompt> in = In("prompt", prompt);
  if (!in.ok()) return in;
  PLIMSOLL_RETURN_IF_ERROR(CheckList("tokens", in->tokens, in->token_count));
  PLIMSOLL_RETURN_IF_ERROR(CheckList("hashes", in->hashes, in->hash_count));
  if (in->token_count > 0 && in->hash_count > 0) {
    return absl::InvalidArgumentError("prompt: has tokens and hashes; want one of them");
  }
  return in;
}

BlockNames NamesOf(const plimsoll_prompt& prompt, bool by_hash, Tokens block_tokens) {
  if (by_hash) return BlockNames::OfHashes({prompt.hashes, prompt.hash_count});
  return BlockNames::OfTokens({prompt.tokens, prompt.token_count}, block_tokens);
}

absl::Status NoRoom(int64_t tokens, const BlockCounts& counts) {
  return absl::ResourceExhaustedError("no room for " + std::to_string(tokens) +
                                      " tokens: " + std::to_string(counts.free.value()) +
                                      " blocks free and " + std::to_string(counts.cached.value()) +
                                      " cached of " + std::to_string(counts.total.value()));
}

}  // namespace

absl::StatusOr<EmbeddedPool::Sequence*> EmbeddedPool::At(int64_t sequence) {
  const auto found = sequences_.find(sequence);
  if (found != sequences_.end()) return &found->second;
  return absl::NotFoundError("no sequence " + std::to_string(sequence));
}

plimsoll_sequence EmbeddedPool::Describe(SequenceId id) const {
  plimsoll_sequence out{};
  out.id = id.number();
  out.length = cache_->Length(id).value();
  out.blocks = std::ssize(cache_->Table(id));
  out.promise_left = cache_->PromiseLeft(id).value();
  out.found_blocks = cache_->Found(id).value();
  const std::optional<Blocks> named = cache_->Named(id);
  out.named_blocks = named ? named->value() : -1;
  const auto its = sequences_.find(id.number());
  const bool reserved = its != sequences_.end() && !its->second.reservation.empty();
  out.stop_requested = reserved && admission_->StopRequested(its->second.reservation) ? 1 : 0;
  return out;
}

absl::StatusOr<int64_t> EmbeddedPool::Find(const plimsoll_prompt* prompt) {
  if (prompt == nullptr) return NullArgument("prompt");
  const absl::StatusOr<plimsoll_prompt> in = PromptFrom(prompt);
  if (!in.ok()) return in.status();
  const std::string salt = TextOf(in->salt);
  MutexLock lock(mutex_);
  const BlockNames names = NamesOf(*in, in->hash_count > 0, cache_->block_tokens());
  return cache_->Find({.salt = salt, .names = names}).blocks.value();
}

std::optional<SequenceId> EmbeddedPool::Start(const plimsoll_prompt& prompt, bool by_hash,
                                              Blocks blocks) {
  if (cache_->shares_prefixes()) {
    const std::string salt = TextOf(prompt.salt);
    return cache_->BeginWith(
        {.salt = salt, .names = NamesOf(prompt, by_hash, cache_->block_tokens())}, blocks);
  }
  if (!cache_->Promise(blocks)) return std::nullopt;
  return cache_->Begin(blocks);
}

absl::StatusOr<plimsoll_sequence> EmbeddedPool::Begin(const plimsoll_prompt* prompt,
                                                      int64_t total_tokens) {
  const absl::StatusOr<plimsoll_prompt> in = PromptFrom(prompt);
  if (!in.ok()) return in.status();
  const absl::StatusOr<Tokens> total = TokensFrom("total_tokens", total_tokens, 1);
  if (!total.ok()) return total.status();
  const bool by_hash = in->hash_count > 0;
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckNoAdmission());
  const std::optional<SequenceId> id =
      Start(*in, by_hash, BlocksForSequence(*total, cache_->block_tokens()));
  if (!id) return NoRoom(total_tokens, cache_->counts());
  sequences_.emplace(id->number(), Sequence{.reservation = {}, .by_hash = by_hash});
  return Describe(*id);
}

absl::StatusOr<plimsoll_sequence> EmbeddedPool::BeginReserved(const char* reservation_id) {
  const std::string reservation = TextOf(reservation_id);
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  const absl::StatusOr<SequenceId> id = admission_->BeginSequence(reservation);
  if (!id.ok()) return id.status();
  sequences_.emplace(id->number(), Sequence{.reservation = reservation, .by_hash = true});
  return Describe(*id);
}

absl::StatusOr<plimsoll_block_copy> EmbeddedPool::Append(int64_t sequence, int64_t tokens,
                                                         int64_t lookahead) {
  const absl::StatusOr<Tokens> more = TokensFrom("tokens", tokens, 1);
  if (!more.ok()) return more.status();
  const absl::StatusOr<Tokens> ahead = TokensFrom("lookahead", lookahead, 0);
  if (!ahead.ok()) return ahead.status();
  MutexLock lock(mutex_);
  const absl::StatusOr<Sequence*> its = At(sequence);
  if (!its.ok()) return its.status();
  const std::optional<AppendPlan> plan = cache_->PlanAppend(SequenceId(sequence), *more, *ahead);
  if (!plan) return NoRoom(tokens, cache_->counts());
  if (admission_ && plan->from_free > Blocks(0)) {
    return absl::ResourceExhaustedError("sequence " + std::to_string(sequence) + " needs " +
                                        std::to_string(plan->from_free.value()) +
                                        " blocks more than were promised: extend " +
                                        (*its)->reservation);
  }
  const std::optional<BlockCopy> copy = cache_->Commit(*plan);
  Changed();
  plimsoll_block_copy out{};
  if (!copy) return out;
  out.tokens = copy->tokens.value();
  out.from = copy->from.index();
  out.to = copy->to.index();
  return out;
}

absl::Status EmbeddedPool::Truncate(int64_t sequence, int64_t length) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(At(sequence).status());
  const SequenceId id(sequence);
  const Tokens now = cache_->Length(id);
  if (length < 0 || length > now.value()) {
    return BadField("length", length, "0 to " + std::to_string(now.value()));
  }
  const Tokens named = cache_->Named(id).value_or(Blocks(0)).value() * cache_->block_tokens();
  if (admission_ && Tokens(length) < named) {
    return absl::FailedPreconditionError("length=" + std::to_string(length) + ": the first " +
                                         std::to_string(named.value()) + " tokens of sequence " +
                                         std::to_string(sequence) + " are named, and stay");
  }
  cache_->Truncate(id, Tokens(length));
  Changed();
  return absl::OkStatus();
}

absl::StatusOr<plimsoll_sequence> EmbeddedPool::Fork(int64_t sequence, int64_t total_tokens) {
  const absl::StatusOr<Tokens> total = TokensFrom("total_tokens", total_tokens, 0);
  if (!total.ok()) return total.status();
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckNoAdmission());
  const absl::StatusOr<Sequence*> its = At(sequence);
  if (!its.ok()) return its.status();
  const Tokens length = cache_->Length(SequenceId(sequence));
  if (*total < length) {
    return BadField("total_tokens", total_tokens, "at least " + std::to_string(length.value()));
  }
  const Blocks blocks = BlocksForFork(length, *total, cache_->block_tokens());
  if (!cache_->Promise(blocks)) return NoRoom(total_tokens, cache_->counts());
  const SequenceId fork = cache_->Fork(SequenceId(sequence), blocks);
  const bool by_hash = (*its)->by_hash;
  sequences_.emplace(fork.number(), Sequence{.reservation = {}, .by_hash = by_hash});
  return Describe(fork);
}

absl::Status EmbeddedPool::Name(int64_t sequence, const plimsoll_prompt* names) {
  if (names == nullptr) return NullArgument("names");
  const absl::StatusOr<plimsoll_prompt> in = PromptFrom(names);
  if (!in.ok()) return in.status();
  MutexLock lock(mutex_);
  const absl::StatusOr<Sequence*> its = At(sequence);
  if (!its.ok()) return its.status();
  const SequenceId id(sequence);
  const std::optional<Blocks> named = cache_->Named(id);
  if (!named) {
    return absl::FailedPreconditionError(
        "sequence " + std::to_string(sequence) +
        " shares nothing: want a pool with eviction, and hashes in its reservation's request");
  }
  const bool by_hash = (*its)->by_hash;
  if (by_hash ? in->token_count > 0 : in->hash_count > 0) {
    return absl::InvalidArgumentError("names: not of the kind that the prompt had");
  }
  const BlockNames blocks = NamesOf(*in, by_hash, cache_->block_tokens());
  const int64_t full = cache_->Length(id) / cache_->block_tokens() - named->value();
  if (blocks.size() > full) {
    return BadField("names", std::to_string(blocks.size()) + " blocks",
                    "at most the " + std::to_string(full) + " that are full and have no name");
  }
  if (admission_) {
    admission_->Name((*its)->reservation, blocks);
  } else {
    cache_->Name(id, blocks);
  }
  return absl::OkStatus();
}

absl::StatusOr<plimsoll_sequence> EmbeddedPool::Get(int64_t sequence) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(At(sequence).status());
  return Describe(SequenceId(sequence));
}

absl::Status EmbeddedPool::Table(int64_t sequence, int32_t* blocks, size_t capacity,
                                 size_t* count) {
  if (count == nullptr) return NullArgument("count");
  if (capacity > 0 && blocks == nullptr) return NullArgument("blocks");
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(At(sequence).status());
  const std::span<const BlockId> table = cache_->Table(SequenceId(sequence));
  *count = table.size();
  if (table.size() > capacity) {
    return absl::OutOfRangeError("capacity=" + std::to_string(capacity) + ": want " +
                                 std::to_string(table.size()));
  }
  std::transform(table.begin(), table.end(), blocks, [](BlockId id) { return id.index(); });
  return absl::OkStatus();
}

absl::Status EmbeddedPool::End(int64_t sequence) {
  MutexLock lock(mutex_);
  const absl::StatusOr<Sequence*> its = At(sequence);
  if (!its.ok()) return its.status();
  if (admission_) {
    admission_->EndSequence((*its)->reservation);
  } else {
    cache_->End(SequenceId(sequence));
  }
  sequences_.erase(sequence);
  return absl::OkStatus();
}

}  // namespace plimsoll::c_interface
