#include "kvcache/pool/group_cache.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

absl::Status CheckSharing(const GroupSharing& sharing, Tokens block_tokens) {
  const Tokens every = sharing.checkpoint_every;
  if (every > Tokens(kMaxTokens) || every.value() % block_tokens.value() != 0) {
    return BadField("checkpoint_every", every.value(),
                    "a multiple of block_tokens=" + std::to_string(block_tokens.value()));
  }
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (sharing.nodes >= 0 && sharing.nodes <= kMost) return absl::OkStatus();
  return BadField("nodes", sharing.nodes, "0 to " + std::to_string(kMost));
}

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
  if (!options.sharing) return absl::OkStatus();
  return CheckSharing(*options.sharing, options.block_tokens);
}

// A node has a block of each group that keeps all tokens. Without such groups a sequence of any
// length has few blocks and a node for each of its named ones: a million nodes are 16 million
// tokens.
int64_t EnoughNodes(const GroupCacheOptions& options, const SlabPool& pool) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  int64_t fewest = kMost, most = 0;
  for (size_t i = 0; i < options.groups.size(); ++i) {
    const int64_t blocks = options.slabs * pool.counts(i).blocks_per_slab.value();
    most = std::max(most, blocks);
    if (options.groups[i].retention.kind == Retention::Kind::kAll) {
      fewest = std::min(fewest, blocks);
    }
  }
  if (fewest < kMost) return fewest;
  const int64_t apart = options.sharing->checkpoint_every / options.block_tokens;
  constexpr int64_t kFewest = 1 << 20;
  const int64_t nodes = CheckedProduct({most, std::max<int64_t>(1, apart)}).value_or(kMost);
  return std::clamp(nodes, kFewest, kMost);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GroupCache>> GroupCache::Create(const GroupCacheOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(Check(options));
  SlabPoolOptions slabs{
      .slab_bytes = options.slab_bytes, .slabs = options.slabs, .block_bytes = {}};
  for (const LayerGroup& group : options.groups) slabs.block_bytes.push_back(group.block_bytes);
  absl::StatusOr<SlabPool> pool = SlabPool::Create(slabs);
  if (!pool.ok()) return pool.status();
  std::optional<PrefixTree> tree;
  if (options.sharing) {
    absl::StatusOr<PrefixTree> made = CreateTree(options, *pool);
    if (!made.ok()) return made.status();
    tree = *std::move(made);
  }
  return std::unique_ptr<GroupCache>(new GroupCache(options, *std::move(pool), std::move(tree)));
}

absl::StatusOr<PrefixTree> GroupCache::CreateTree(const GroupCacheOptions& options,
                                                  const SlabPool& pool) {
  const int64_t nodes = options.sharing->nodes;
  const auto tokens_of_block = static_cast<size_t>(options.block_tokens.value());
  return PrefixTree::Create(
      {.nodes = nodes > 0 ? nodes : EnoughNodes(options, pool),
       .groups = options.groups.size(),
       .indices = pool.indices(),
       .content_bytes = std::max(tokens_of_block * sizeof(int32_t), sizeof(uint64_t)),
       .hash_seed = options.sharing->hash_seed});
}

GroupCache::GroupCache(const GroupCacheOptions& options, SlabPool pool,
                       std::optional<PrefixTree> tree)
    : block_tokens_(options.block_tokens),
      step_(options.step),
      groups_(options.groups),
      checkpoint_every_(options.sharing ? options.sharing->checkpoint_every : Tokens(0)),
      pool_(std::move(pool)),
      tree_(std::move(tree)) {}

std::vector<Blocks> GroupCache::Needed(Tokens total) const {
  std::vector<Blocks> needed;
  for (const LayerGroup& group : groups_) {
    needed.push_back(BlocksForSequence(group.retention, total, step_, block_tokens_));
  }
  return needed;
}

std::optional<SequenceId> GroupCache::Begin(Tokens total) {
  if (total > Tokens(kMaxTokens)) return std::nullopt;
  Sequence sequence;
  sequence.total = total;
  if (!StartEmpty(sequence)) return std::nullopt;
  const SequenceId id(next_++);
  sequences_.emplace(id, std::move(sequence));
  return id;
}

bool GroupCache::StartEmpty(Sequence& sequence) {
  const std::vector<Blocks> needed = Needed(sequence.total);
  if (!pool_.Reserve(needed)) return false;
  Prepare(sequence, needed);
  return true;
}

void GroupCache::Prepare(Sequence& sequence, const std::vector<Blocks>& needed) const {
  sequence.shares.resize(groups_.size());
  for (size_t i = 0; i < groups_.size(); ++i) {
    sequence.shares[i].promise_left = needed[i];
    sequence.shares[i].blocks.reserve(static_cast<size_t>(needed[i].value()));
  }
}

void GroupCache::Share::Fill(BlockId block) {
  promise_left -= Blocks(1);
  blocks.push_back(block);
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

Tokens GroupCache::UnfilledOf(Tokens length) const {
  const int64_t filled = length.value() % block_tokens_.value();
  return filled == 0 ? Tokens(0) : block_tokens_ - Tokens(filled);
}

void GroupCache::SetLength(Sequence& sequence, Tokens length) {
  unfilled_ = unfilled_ - UnfilledOf(sequence.length) + UnfilledOf(length);
  sequence.length = length;
}

// Other prompts will go on where some went different ways already. Of what is in between, a block
// behind a window serves a prompt that parts right after it, and few do.
Stay GroupCache::StayBehind(size_t group, const Sequence& sequence, int64_t position) const {
  if (!sequence.path || position >= sequence.path->parting) return Stay::kWhileRoom;
  const Tokens parting = sequence.path->parting * block_tokens_;
  return position < ExtentOf(group, parting, parting).first ? Stay::kWhileRoom : Stay::kInTurn;
}

// What is outside of `kept` goes back to the promise.
void GroupCache::Drop(size_t group, Sequence& sequence, Extent kept) {
  Share& share = sequence.shares[group];
  const int64_t size = std::ssize(share.blocks);
  const int64_t ahead = std::clamp<int64_t>(share.first + size - kept.last, 0, size);
  const int64_t behind = std::clamp<int64_t>(kept.first - share.first, 0, size - ahead);
  if (ahead + behind == 0) return;
  for (int64_t i = 0; i < size; ++i) {
    if (i >= behind && i < size - ahead) continue;
    LetGo(group, share.blocks[static_cast<size_t>(i)],
          StayBehind(group, sequence, share.first + i));
    pool_.ReserveAgain(group);
  }
  share.promise_left += Blocks(ahead + behind);
  share.blocks.erase(share.blocks.end() - ahead, share.blocks.end());
  share.blocks.erase(share.blocks.begin(), share.blocks.begin() + behind);
  share.first += behind;
}

void GroupCache::Append(SequenceId id, Tokens n) {
  Sequence& sequence = At(id);
  PLIMSOLL_CHECK(n > Tokens(0) && n <= step_, id, n, step_);
  PLIMSOLL_CHECK(n <= sequence.total - sequence.length, id, n, sequence.length, sequence.total);
  sequence.before = sequence.length;
  SetLength(sequence, sequence.length + n);
  for (size_t i = 0; i < groups_.size(); ++i) {
    const Extent extent = ExtentOf(i, sequence.before, sequence.length);
    Drop(i, sequence, extent);
    Share& share = sequence.shares[i];
    while (share.first + std::ssize(share.blocks) < extent.last) {
      PLIMSOLL_CHECK(share.promise_left > Blocks(0), id, i, sequence.length, sequence.total);
      share.Fill(TakePromised(i));
    }
  }
}

// A window's first block tells how far back it reaches.
Tokens GroupCache::EarliestLength(SequenceId id) const {
  const Sequence& sequence = At(id);
  const int64_t named = sequence.path ? sequence.path->named : 0;
  Tokens earliest = std::max(named, sequence.forked) * block_tokens_;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const int64_t first = sequence.shares[i].first;
    if (Keeps(i, Retention::Kind::kState)) earliest = std::max(earliest, sequence.before);
    if (first == 0) continue;
    const Tokens behind = groups_[i].retention.window - Tokens(1);
    earliest = std::max(earliest, std::min(sequence.before, first * block_tokens_ + behind));
  }
  return earliest;
}

void GroupCache::Truncate(SequenceId id, Tokens length) {
  Sequence& sequence = At(id);
  PLIMSOLL_CHECK(length >= EarliestLength(id) && length <= sequence.length, id, length,
                 EarliestLength(id), sequence.length);
  SetLength(sequence, length);
  sequence.before = std::min(sequence.before, length);
  for (size_t i = 0; i < groups_.size(); ++i) {
    Drop(i, sequence, ExtentOf(i, sequence.before, length));
  }
}

void GroupCache::Preempt(SequenceId id) { GiveUpAll(At(id)); }

std::optional<std::vector<GroupCopy>> GroupCache::Resume(SequenceId id, const Prompt& prompt) {
  Sequence& sequence = At(id);
  for (const Share& share : sequence.shares) {
    PLIMSOLL_CHECK(share.blocks.empty() && share.promise_left == Blocks(0), id, sequence.length,
                   share.promise_left);
  }
  std::vector<GroupCopy> copies;
  const bool starts = tree_ ? Start(sequence, prompt, copies) : StartEmpty(sequence);
  if (!starts) return std::nullopt;
  return copies;
}

void GroupCache::End(SequenceId id) {
  GiveUpAll(At(id));
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

}  // namespace plimsoll
