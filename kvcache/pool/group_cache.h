// The blocks of sequences of a model whose layers keep different things: all tokens, with K and V
// or with a latent, a window of tokens, or a state. Layers that keep the same are a group; all
// groups live in one pool of slabs.
//
// A sequence is promised, in each group, what BlocksForSequence says for its whole length, so a
// group with a window is promised a window. While the sequence runs, blocks that have fallen behind
// the window go back to its promise and are taken again as it grows.
//
// Invariants, which FindViolation() looks for: those of the slab pool; promises not yet filled add
// up to what is reserved; in each group a sequence has the blocks from the first that the last
// append could read to the one of its last token.
//
// Threads: none; the owner serialises calls. Cost: O(groups + blocks touched), and where blocks
// fall behind a window, a move of the window's table. An append allocates nothing. Errors: no room
// is nullopt, an ordinary answer that changes nothing; misuse aborts: an unknown sequence, an
// append of more than a step or beyond what was promised, taking back more than the last append.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/slab_pool.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {

struct LayerGroup {
  Retention retention;
  Bytes block_bytes;  // of all its layers: block_tokens tokens, or a sequence's states
};

struct GroupCacheOptions {
  Bytes slab_bytes;
  int64_t slabs;
  Tokens block_tokens = Tokens(16);  // a power of two in [1, 1024]
  Tokens step = Tokens(1);           // > 0; the most tokens that are appended at once
  std::vector<LayerGroup> groups;    // a window is > 0
};

// Block i holds tokens [(first + i) * block_tokens, (first + i + 1) * block_tokens); of a group
// that keeps a state, the one block holds that.
struct GroupTable {
  int64_t first = 0;
  std::span<const BlockId> blocks;
};

class GroupCache {
 public:
  // InvalidArgument, naming the field, for an option out of range; ResourceExhausted without
  // memory.
  static absl::StatusOr<std::unique_ptr<GroupCache>> Create(const GroupCacheOptions& options);

  // What a sequence that may grow to `total` tokens is promised in each group.
  std::vector<Blocks> Needed(Tokens total) const;
  // Starts an empty sequence that may grow to `total` tokens.
  std::optional<SequenceId> Begin(Tokens total);
  // Makes room for `n` tokens more, at most a step. What has fallen behind windows goes first.
  void Append(SequenceId id, Tokens n);
  // Takes back tokens of the last append, from `length` on: rejected drafts. A state is one block
  // as before; who drafts keeps a copy of what was in it.
  void Truncate(SequenceId id, Tokens length);
  void End(SequenceId id);

  Tokens Length(SequenceId id) const { return At(id).length; }
  // Valid until the next change of this sequence.
  GroupTable Table(SequenceId id, size_t group) const;
  int64_t sequences() const { return std::ssize(sequences_); }
  const SlabPool& pool() const { return pool_; }

  std::optional<std::string> FindViolation() const;  // O(blocks)

 private:
  struct Share {  // of one sequence in one group
    Blocks promise_left;
    int64_t first = 0;            // position of the first block in the sequence
    std::vector<BlockId> blocks;  // has room for the promise from the start
  };
  struct Sequence {
    Tokens total;
    Tokens length;
    Tokens before;  // length before the last append
    std::vector<Share> shares;
  };

  GroupCache(const GroupCacheOptions& options, SlabPool pool);
  const Sequence& At(SequenceId id) const;
  Sequence& At(SequenceId id);
  // Blocks [first, last) that a group has after an append from `before` to `length`.
  struct Extent {
    int64_t first, last;
  };
  Extent ExtentOf(size_t group, Tokens before, Tokens length) const;
  void Drop(size_t group, Share& share, Extent kept);

  const Tokens block_tokens_;
  const Tokens step_;
  const std::vector<LayerGroup> groups_;
  SlabPool pool_;
  std::unordered_map<SequenceId, Sequence> sequences_;
  int64_t next_ = 0;
};

}  // namespace plimsoll
