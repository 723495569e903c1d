#include "kvcache/pool/group_cache.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

absl::Status Check(const GroupCacheOptions& options) {
  const int64_t block_tokens = options.block_tokens.value();
  if (block_tokens > 1024 || !std::has_single_bit(static_cast<uint64_t>(block_tokens))) {
    return BadField("block_tokens", block_tokens, "a power of two in [1, 1024]");
  }
  const auto bounded = [](Tokens n) { return n > Tokens(0) && n <= Tokens(kMaxTokens); };
  const std::string range = "1 to " + std::to_string(kMaxTokens);
  if (!bounded(options.step)) return BadField("step", options.step.value(), range);
  if (options.groups.empty()) return BadField("groups", 0, "at least 1");
  for (const LayerGroup& group : options.groups) {
    if (group.retention.kind == Retention::Kind::kWindow && !bounded(group.retention.window)) {
      return BadField("window", group.retention.window.value(), range);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GroupCache>> GroupCache::Create(const GroupCacheOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(Check(options));
  SlabPoolOptions slabs{
      .slab_bytes = options.slab_bytes, .slabs = options.slabs, .block_bytes = {}};
  for (const LayerGroup& group : options.groups) slabs.block_bytes.push_back(group.block_bytes);
  absl::StatusOr<SlabPool> pool = SlabPool::Create(slabs);
  if (!pool.ok()) return pool.status();
  return std::unique_ptr<GroupCache>(new GroupCache(options, *std::move(pool)));
}

GroupCache::GroupCache(const GroupCacheOptions& options, SlabPool pool)
    : block_tokens_(options.block_tokens),
      step_(options.step),
      groups_(options.groups),
      pool_(std::move(pool)) {}

std::vector<Blocks> GroupCache::Needed(Tokens total) const {
  std::vector<Blocks> needed;
  for (const LayerGroup& group : groups_) {
    needed.push_back(BlocksForSequence(group.retention, total, step_, block_tokens_));
  }
  return needed;
}

std::optional<SequenceId> GroupCache::Begin(Tokens total) {
  if (total > Tokens(kMaxTokens)) return std::nullopt;
  const std::vector<Blocks> needed = Needed(total);
  if (!pool_.Reserve(needed)) return std::nullopt;
  const SequenceId id(next_++);
  Sequence& sequence = sequences_[id];
  sequence.total = total;
  sequence.shares.resize(groups_.size());
  for (size_t i = 0; i < groups_.size(); ++i) {
    sequence.shares[i].promise_left = needed[i];
    sequence.shares[i].blocks.reserve(static_cast<size_t>(needed[i].value()));
  }
  return id;
}

// The first new token is at `before` and attends to the window - 1 tokens before it.
GroupCache::Extent GroupCache::ExtentOf(size_t group, Tokens before, Tokens length) const {
  const Retention& retention = groups_[group].retention;
  if (retention.kind == Retention::Kind::kState) return {0, length > Tokens(0) ? 1 : 0};
  const int64_t last = BlocksForSequence(length, block_tokens_).value();
  if (retention.kind == Retention::Kind::kAll) return {0, last};
  const Tokens behind = retention.window - Tokens(1);
  return {before > behind ? (before - behind) / block_tokens_ : 0, last};
}

// What is outside of `kept` goes back to the promise.
void GroupCache::Drop(size_t group, Share& share, Extent kept) {
  const auto give_back = [&](auto begin, auto end) {
    for (auto block = begin; block != end; ++block) pool_.ReleaseToReserve(group, *block);
    share.promise_left += Blocks(std::distance(begin, end));
    share.blocks.erase(begin, end);
  };
  const int64_t size = std::ssize(share.blocks);
  const int64_t ahead = std::clamp<int64_t>(share.first + size - kept.last, 0, size);
  give_back(share.blocks.end() - ahead, share.blocks.end());
  const int64_t behind = std::clamp<int64_t>(kept.first - share.first, 0, size - ahead);
  give_back(share.blocks.begin(), share.blocks.begin() + behind);
  share.first += behind;
}

void GroupCache::Append(SequenceId id, Tokens n) {
  Sequence& sequence = At(id);
  PLIMSOLL_CHECK(n > Tokens(0) && n <= step_, id, n, step_);
  PLIMSOLL_CHECK(n <= sequence.total - sequence.length, id, n, sequence.length, sequence.total);
  sequence.before = sequence.length;
  sequence.length += n;
  for (size_t i = 0; i < groups_.size(); ++i) {
    Share& share = sequence.shares[i];
    const Extent extent = ExtentOf(i, sequence.before, sequence.length);
    Drop(i, share, extent);
    while (share.first + std::ssize(share.blocks) < extent.last) {
      PLIMSOLL_CHECK(share.promise_left > Blocks(0), id, i, sequence.length, sequence.total);
      share.promise_left -= Blocks(1);
      share.blocks.push_back(pool_.Take(i));
    }
  }
}

void GroupCache::Truncate(SequenceId id, Tokens length) {
  Sequence& sequence = At(id);
  PLIMSOLL_CHECK(length >= sequence.before && length <= sequence.length, id, length,
                 sequence.before, sequence.length);
  sequence.length = length;
  for (size_t i = 0; i < groups_.size(); ++i) {
    Drop(i, sequence.shares[i], ExtentOf(i, sequence.before, length));
  }
}

void GroupCache::End(SequenceId id) {
  const Sequence& sequence = At(id);
  for (size_t i = 0; i < groups_.size(); ++i) {
    for (const BlockId block : sequence.shares[i].blocks) pool_.Release(i, block);
    pool_.Forgo(i, sequence.shares[i].promise_left);
  }
  sequences_.erase(id);
}

GroupTable GroupCache::Table(SequenceId id, size_t group) const {
  const Share& share = At(id).shares.at(group);
  return {share.first, share.blocks};
}

const GroupCache::Sequence& GroupCache::At(SequenceId id) const {
  const auto found = sequences_.find(id);
  PLIMSOLL_CHECK(found != sequences_.end(), id);
  return found->second;
}

GroupCache::Sequence& GroupCache::At(SequenceId id) {
  const auto found = sequences_.find(id);
  PLIMSOLL_CHECK(found != sequences_.end(), id);
  return found->second;
}

std::optional<std::string> GroupCache::FindViolation() const {
  for (size_t i = 0; i < groups_.size(); ++i) {
    Blocks held, promised;
    for (const auto& [id, sequence] : sequences_) {
      const Share& share = sequence.shares[i];
      const Extent extent = ExtentOf(i, sequence.before, sequence.length);
      const bool whole = share.first + std::ssize(share.blocks) == extent.last;
      if (!whole || (!share.blocks.empty() && share.first != extent.first)) {
        return "sequence " + std::to_string(id.number()) + " has other blocks in group " +
               std::to_string(i) + " than it needs";
      }
      held += Blocks(std::ssize(share.blocks));
      promised += share.promise_left;
    }
    const GroupCounts counts = pool_.counts(i);
    if (held != counts.held || promised != counts.reserved) {
      return "group " + std::to_string(i) + " has blocks that no sequence has";
    }
  }
  return pool_.FindViolation();
}

}  // namespace plimsoll
