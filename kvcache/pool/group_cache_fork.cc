// A second sequence that begins with all that another holds.
#include <algorithm>

#include "kvcache/base/check.h"
#include "kvcache/pool/group_cache.h"

namespace plimsoll {
namespace {

constexpr Blocks kOne(1);

}  // namespace

// A block that is to be named may still make room for one that holds the same, so only named ones
// are shared; where nothing will be named, full ones, which are never written again.
int64_t GroupCache::BlocksForForks(const Sequence& sequence) const {
  return sequence.path ? sequence.path->named : sequence.length / block_tokens_;
}

std::optional<GroupStart> GroupCache::Fork(SequenceId id, Tokens total) {
  Sequence& parent = At(id);
  PLIMSOLL_CHECK(total >= parent.length, id, total, parent.length);
  if (total > Tokens(kMaxTokens)) return std::nullopt;
  const int64_t shared = BlocksForForks(parent);
  const std::vector<Blocks> needed = Needed(total);
  std::vector<Blocks> reserved = needed;
  std::vector<GroupBlock> held;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const Share& share = parent.shares[i];
    if (Keeps(i, Retention::Kind::kState)) continue;
    for (int64_t at = share.first; at < shared; ++at) {
      held.push_back({i, share.blocks[static_cast<size_t>(at - share.first)]});
      if (!Keeps(i, Retention::Kind::kWindow)) reserved[i] -= kOne;
    }
  }
  if (!pool_.HoldAndReserve(held, reserved)) return std::nullopt;

  parent.forked = std::max(parent.forked, shared);
  GroupStart start{SequenceId(next_++), {}};
  Sequence& fork = sequences_[start.id];
  fork.total = total;
  fork.before = parent.before;
  fork.forked = shared;
  fork.path = parent.path;
  if (fork.path && fork.path->tip.block()) tree_->Hold(*fork.path->tip.block());
  SetLength(fork, parent.length);
  Prepare(fork, needed);
  for (const auto& [group, block] : held) fork.shares[group].Fill(block);
  CopyRest(parent, fork, start.copies);
  return start;
}

// What the fork does not share: blocks of its own, to be copied from those of the other.
void GroupCache::CopyRest(const Sequence& parent, Sequence& fork, std::vector<GroupCopy>& copies) {
  for (size_t i = 0; i < groups_.size(); ++i) {
    const std::vector<BlockId>& blocks = parent.shares[i].blocks;
    fork.shares[i].first = parent.shares[i].first;
    for (size_t at = fork.shares[i].blocks.size(); at < blocks.size(); ++at) {
      fork.shares[i].Fill(TakePromised(i));
      copies.push_back({.group = i, .from = blocks[at], .to = fork.shares[i].blocks.back()});
    }
  }
}

}  // namespace plimsoll
