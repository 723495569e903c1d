// The blocks of sequences of a model whose layers keep different things: all tokens, with K and V
// or with a latent, a window of tokens, or a state. Layers that keep the same are a group; all
// groups live in one pool of slabs.
//
// A sequence is promised, in each group, what BlocksForSequence says for its whole length, so a
// group with a window is promised a window. While the sequence runs, blocks that have fallen behind
// the window go back to its promise and are taken again as it grows.
//
// With sharing, full blocks are found by what they hold, in a tree of prefixes whose nodes have a
// block of each group at most. A prompt finds the longest prefix after which every group can go on:
// those that keep all tokens have all of its blocks, those with a window the ones that the next
// token attends to, those with a state a checkpoint at its very end. A checkpoint is a copy of a
// sequence's state, made while it is named, and copied into the state of whoever finds it. What
// nobody holds any more, blocks behind windows too, stays until its room is needed; room is counted
// as if it were free. Checkpoints are taken only of such room, so they cost no promise. Where
// prompts went different ways, or one ended, others are likely to go on: what serves them there
// stays in its turn. Blocks behind windows and checkpoints in between are the first to go.
//
// Who holds a block of a window that others hold too is promised one in its place, because it gives
// the shared one up while it runs: sharing saves a window's computing and not its room.
//
// Invariants, which FindViolation() looks for: those of the slab pool and the tree; promises not
// yet filled and those in the place of shared blocks add up to what is reserved; in each group a
// sequence has the blocks from the first that the last append could read to the one of its last
// token; a node has a block in every group that keeps all tokens, so what comes after it is found.
//
// Threads: none; the owner serialises calls. Cost: O(groups + blocks touched), and where blocks
// fall behind a window, a move of the window's table. An append allocates nothing. Errors: no room
// is nullopt, an ordinary answer that changes nothing; misuse aborts: an unknown sequence, an
// append of more than a step or beyond what was promised, taking back what is not there any more.
#pragma once

#include <array>
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
#include "kvcache/pool/block_names.h"
#include "kvcache/pool/prefix_tree.h"
#include "kvcache/pool/slab_pool.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {

struct LayerGroup {
  Retention retention;
  Bytes block_bytes;  // of all its layers: block_tokens tokens, or a sequence's states
};

struct GroupSharing {
  // Names that end at a multiple of this make a checkpoint; those always do that end a prompt, or
  // where an earlier prompt went on otherwise. A multiple of block_tokens, or 0: only there.
  Tokens checkpoint_every = Tokens(0);
  uint64_t hash_seed = 0;  // clients must not know it
  int64_t nodes = 0;       // of the tree, in [0, 2^31 - 1]; 0: as many as may be of use
};

struct GroupCacheOptions {
  Bytes slab_bytes;
  int64_t slabs;
  Tokens block_tokens = Tokens(16);          // a power of two in [1, 1024]
  Tokens step = Tokens(1);                   // > 0; the most tokens that are appended at once
  std::vector<LayerGroup> groups;            // a window is > 0
  std::optional<GroupSharing> sharing = {};  // none: nothing is shared or kept
};

// Block i holds tokens [(first + i) * block_tokens, (first + i + 1) * block_tokens); of a group
// that keeps a state, the one block holds that.
struct GroupTable {
  int64_t first = 0;
  std::span<const BlockId> blocks;
};

// A whole block of one group, to be copied to another. Copies are made in the order in which they
// are said, and before anything else is written.
struct GroupCopy {
  size_t group;
  BlockId from, to;

  friend bool operator==(const GroupCopy&, const GroupCopy&) = default;
};

struct GroupStart {
  SequenceId id;
  std::vector<GroupCopy> copies;  // of checkpoints into its states, or of what it does not share

  friend bool operator==(const GroupStart&, const GroupStart&) = default;
};

class GroupCache {
 public:
  // InvalidArgument, naming the field, for an option out of range; ResourceExhausted without
  // memory.
  static absl::StatusOr<std::unique_ptr<GroupCache>> Create(const GroupCacheOptions& options);

  // What a sequence that may grow to `total` tokens is promised in each group.
  std::vector<Blocks> Needed(Tokens total) const;
  // Starts an empty sequence that may grow to `total` tokens and shares nothing.
  std::optional<SequenceId> Begin(Tokens total);
  // Starts one that has what the prompt finds, so much is its length, and may grow to `total`.
  // Whoever could begin without a prompt can with one. O(blocks of the prompt).
  std::optional<GroupStart> BeginWith(const Prompt& prompt, Tokens total);
  // Tokens that a prompt would find now. O(blocks of the prompt).
  Tokens Find(const Prompt& prompt) const;
  // The next blocks of a sequence that began with a prompt are computed and hold what `names` says;
  // from now on others find them. Where others hold the same already, it takes over theirs. Returns
  // what is to be copied for checkpoints, which are made where the names end at its last token.
  std::vector<GroupCopy> Name(SequenceId id, const BlockNames& names);
  // The next length at which names are to end so that a checkpoint is made: the end of the prompt,
  // where an earlier prompt went on otherwise, or so many tokens on.
  std::optional<Tokens> NextCheckpoint(SequenceId id) const;
  // Makes room for `n` tokens more, at most a step. What has fallen behind windows goes first.
  void Append(SequenceId id, Tokens n);
  // Starts a sequence that begins with all that `id` holds and may grow to `total` tokens, at least
  // its length. Both then grow as far as they were promised. What is named, or full where nothing
  // is, they share; of the rest, which is the last block in each group and the states where all
  // is named that is full, the fork gets copies at once. Nullopt, and no change, without room.
  std::optional<GroupStart> Fork(SequenceId id, Tokens total);
  // Takes back all tokens from `length` on, at least EarliestLength.
  void Truncate(SequenceId id, Tokens length);
  // The least that the sequence can be cut to: what is named or was shared with a fork stays,
  // blocks behind a window and states are gone. Only of the last append a state can be taken back
  // too: it is one block as before, and who drafts keeps a copy of what was in it.
  Tokens EarliestLength(SequenceId id) const;
  // Takes from a sequence all that it holds and was promised, as End does, but it stays and is
  // empty; what is named may be found again. Resume is BeginWith for it, or Begin where nothing is
  // shared: `prompt` may name generated tokens too, and what is not found is computed again.
  void Preempt(SequenceId id);
  std::optional<std::vector<GroupCopy>> Resume(SequenceId id, const Prompt& prompt);
  void End(SequenceId id);

  Tokens Length(SequenceId id) const { return At(id).length; }
  // Valid until the next change of this sequence.
  GroupTable Table(SequenceId id, size_t group) const;
  int64_t sequences() const { return std::ssize(sequences_); }
  const SlabPool& pool() const { return pool_; }
  // Token slots of last blocks that are not filled, in each group that keeps tokens. O(1).
  Tokens unfilled() const { return unfilled_; }

  std::optional<std::string> FindViolation() const;  // O(blocks)

 private:
  struct Share {  // of one sequence in one group
    Blocks promise_left;
    int64_t first = 0;            // position of the first block in the sequence
    std::vector<BlockId> blocks;  // has room for the promise from the start

    void Fill(BlockId block);  // one of the promise
  };
  // How far a sequence is named.
  struct Path {
    PrefixKey key;
    PrefixParent tip;  // the node of the last named block, which the sequence holds
    int64_t named;
    int64_t prompt;        // blocks of the prompt
    int64_t parting = 0;   // blocks after which an earlier prompt went on otherwise; 0: none did
    bool stopped = false;  // there was no node left: no more is named
  };
  struct Sequence {
    Tokens total;
    Tokens length;
    Tokens before;       // length before the last append
    int64_t forked = 0;  // so many blocks it had in common with a fork
    std::optional<Path> path;
    std::vector<Share> shares;
  };
  struct Hit {
    Path path;
    std::vector<NodeId> nodes;  // at least those of the path
    std::vector<PrefixKey> keys;
  };
  // Blocks [first, last) that a group has after an append from `before` to `length`.
  struct Extent {
    int64_t first, last;
  };

  GroupCache(const GroupCacheOptions& options, SlabPool pool, std::optional<PrefixTree> tree);
  static absl::StatusOr<PrefixTree> CreateTree(const GroupCacheOptions& options,
                                               const SlabPool& pool);
  const Sequence& At(SequenceId id) const;
  Sequence& At(SequenceId id);
  bool Keeps(size_t group, Retention::Kind kind) const {
    return groups_[group].retention.kind == kind;
  }
  Extent ExtentOf(size_t group, Tokens before, Tokens length) const;
  Tokens UnfilledOf(Tokens length) const;
  void SetLength(Sequence& sequence, Tokens length);

  Hit LookUp(const Prompt& prompt, Tokens total) const;
  using Keys = std::array<PrefixKey, 64>;
  std::span<const PrefixKey> NextKeys(const PrefixKey& after, const BlockNames& names,
                                      int64_t first, Keys& keys) const;
  void FindNodes(const PrefixKey& root, const BlockNames& names, Hit& hit) const;
  // Whether sequences can go on after `blocks`, of which each group has so many in a row.
  bool CanGoOn(std::span<const int64_t> in_a_row, int64_t blocks) const;
  bool Start(Sequence& sequence, const Prompt& prompt, std::vector<GroupCopy>& copies);
  bool StartAfter(Sequence& sequence, const Hit& hit, bool copies_states,
                  std::vector<GroupCopy>& copies);
  bool StartEmpty(Sequence& sequence);
  // Makes room for what the sequence is promised.
  void Prepare(Sequence& sequence, const std::vector<Blocks>& needed) const;
  int64_t BlocksForForks(const Sequence& sequence) const;
  void CopyRest(const Sequence& parent, Sequence& fork, std::vector<GroupCopy>& copies);
  void GoOnWithStates(Sequence& sequence, bool copies_states, std::vector<GroupCopy>& copies);
  void NameNext(Sequence& sequence, const PrefixKey& key, std::span<const std::byte> content);
  std::optional<NodeId> NextNode(const Path& path, const PrefixKey& key,
                                 std::span<const std::byte> content);
  void PutInto(NodeId node, size_t group, BlockId& block);
  void TakeCheckpoints(const Sequence& sequence, Stay stay, std::vector<GroupCopy>& copies);

  // A block that the group was promised.
  BlockId TakePromised(size_t group);
  void Evict(GroupBlock victim);
  void RemoveWithChildren(NodeId node);
  void TakeOut(NodeId node, size_t group, BlockId block);
  void RemoveUseless(std::optional<NodeId> node);
  void LetGo(size_t group, BlockId block, Stay stay = Stay::kInTurn);
  Stay StayBehind(size_t group, const Sequence& sequence, int64_t position) const;
  void Drop(size_t group, Sequence& sequence, Extent kept);
  void GiveUpAll(Sequence& sequence);

  std::optional<std::string> FindWrongSequence() const;
  std::optional<std::string> FindWrongOwner() const;
  std::optional<std::string> FindWrongNode() const;
  std::optional<std::string> FindWrongPath() const;

  const Tokens block_tokens_;
  const Tokens step_;
  const std::vector<LayerGroup> groups_;
  const Tokens checkpoint_every_;
  SlabPool pool_;
  std::optional<PrefixTree> tree_;
  std::unordered_map<SequenceId, Sequence> sequences_;
  Tokens unfilled_;
  int64_t next_ = 0;
};

}  // namespace plimsoll
