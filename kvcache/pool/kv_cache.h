// The paged KV cache: who holds which block, and what has been promised.
//
// Every block is live (holds tokens of a running sequence), cached (kept only for reuse), reserved
// (promised, not yet filled) or free. A promise comes first, then a sequence that lives on it: its
// blocks move from reserved to live one by one as tokens arrive, and back to free when it ends.
//
// With an eviction policy, full blocks are shared by what they hold. A sequence that begins with a
// prompt holds from then on the blocks that are there already; it names its own blocks once they
// are computed, and when the last holder of a named block ends, the block stays, cached. Room for
// promises and appends is made by evicting cached blocks, never ones that somebody holds. Blocks
// are shared only within one salt. A block that is not full is shared only by forks of one
// sequence, until one of them writes into it.
//
// Invariants, which CheckInvariants() verifies:
//   1. live + cached + reserved + free == total. counts() shows it in O(1); a build with
//      PLIMSOLL_DEBUG_CHECKS verifies it after every call.
//   2. A block is on the free list exactly when no sequence holds it and it is not cached.
//   3. A sequence holds BlocksForSequence(length + lookahead) blocks; all promises not yet filled
//      add up to `reserved`.
//   4. No two named blocks hold the same after the same, and what a named block follows is here.
//   5. No block is written that another sequence holds or that has a name.
//
// Plan, then commit: PlanAppend reads and decides, Commit applies and cannot fail; a plan that is
// no longer true aborts.
//
// Threads: none; see admission/shared_admission.h for sharing. Cost: O(blocks touched).
// Errors: no room is nullopt or false, an ordinary answer; misuse (an unknown sequence, giving up
// more than was promised, naming a block that is not full) aborts with the numbers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/block_counts.h"
#include "kvcache/pool/block_events.h"
#include "kvcache/pool/block_names.h"
#include "kvcache/pool/block_pool.h"
#include "kvcache/pool/block_row.h"
#include "kvcache/pool/eviction.h"
#include "kvcache/pool/prefix_index.h"
#include "kvcache/pool/prefix_key.h"
#include "kvcache/pool/sequence_table.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

// What an append takes: a value that can be printed, compared and thrown away.
struct AppendPlan {
  SequenceId sequence;
  Tokens old_length;
  Tokens new_length;
  Tokens lookahead;               // token slots beyond the new length that are to be there too
  std::optional<BlockId> copied;  // the last block, part full, which others hold or can find
  Blocks from_spare;              // its copy, where one was set aside when the sequence forked
  Blocks from_promise;            // new blocks the sequence was promised
  Blocks from_free;  // new blocks beyond its promise, for which cached ones may have to go

  friend bool operator==(const AppendPlan&, const AppendPlan&) = default;
};

// The first `tokens` token slots of one block, to be copied to another.
struct BlockCopy {
  BlockId from, to;
  Tokens tokens;

  friend bool operator==(const BlockCopy&, const BlockCopy&) = default;
};

// How the memory of live blocks is used. Slots without a token are in last blocks and lookahead.
struct CacheUsage {
  Tokens slots;   // of live blocks
  Tokens filled;  // of these, slots that hold a token; one that several share counts once

  friend bool operator==(const CacheUsage&, const CacheUsage&) = default;
};

// What one sequence holds and was promised.
struct Holder {
  SequenceId sequence;
  Tokens length;
  Blocks held;
  Blocks shared;  // of these, blocks that other sequences hold too
  Blocks promise_left;

  friend bool operator==(const Holder&, const Holder&) = default;
};

// The blocks of a prompt that are there.
struct PrefixFound {
  Blocks blocks;
  Blocks cached;  // of these, those that nobody holds

  friend bool operator==(const PrefixFound&, const PrefixFound&) = default;
};

class KvCache {
 public:
  struct Options {
    Blocks capacity;                     // in [1, 2^31 - 1]
    Tokens block_tokens = Tokens(16);    // a power of two in [1, 1024]
    Eviction eviction = Eviction::kOff;  // off: nothing is shared or kept
    uint64_t hash_seed = 0;              // clients must not know it
    Blocks chunk = Blocks(0);  // blocks in a chunk of the arena: the lowest go first (block_pool.h)
    Blocks most = Blocks(0);   // that Resize may make of it; less than `capacity`: that many
    int64_t events = 0;  // changes of named blocks kept for who mirrors them; 0: none are told
  };
  // InvalidArgument, naming the field, for an option out of range; ResourceExhausted without
  // memory to count that many blocks.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const Options& options);

  Tokens block_tokens() const { return block_tokens_; }
  BlockCounts counts() const { return counts_; }  // O(1)
  bool shares_prefixes() const { return prefixes_.has_value(); }
  // What can be promised: free blocks, and cached ones, which are evicted for it.
  Blocks available() const { return counts_.free + counts_.cached; }

  // Moves `n` blocks from free to reserved, or says no and changes nothing.
  bool Promise(Blocks n);
  // Gives back `n` promised blocks that no sequence took over.
  void Forgo(Blocks n);

  // Starts an empty sequence that takes over `promised` of the reserved blocks (may be none).
  SequenceId Begin(Blocks promised);
  // What a prompt would find now; nothing where prefixes are not shared. O(blocks of the prompt).
  PrefixFound Find(const Prompt& prompt) const;
  // Starts a sequence with room for `total` blocks: it holds the blocks of the prompt that are
  // there, and is promised the rest. They are held before anything is evicted. Nullopt, and no
  // change, where the rest does not fit. Names beyond `total` are not looked at.
  std::optional<SequenceId> BeginWith(const Prompt& prompt, Blocks total);
  // The next blocks of the sequence, which began with a prompt, are computed and hold what `names`
  // says; from now on others find them. Where another sequence was first to name the same, this
  // one takes over that block and gives its own back. The names are of the prompt's kind.
  void Name(SequenceId id, const BlockNames& names);
  // Blocks that the sequence found when it began.
  Blocks Found(SequenceId id) const;
  // Blocks of the sequence that have names, found ones included; nullopt where it shares nothing.
  std::optional<Blocks> Named(SequenceId id) const;
  // Evicts until at most `n` blocks are cached.
  void TrimCached(Blocks n);
  // Forgets all that is cached because it is no longer true (other weights); false, and no change,
  // where sequences hold blocks.
  bool ForgetNames();

  // Before the pool has `total` blocks, in [1, most()]: evicts what is cached beyond them, and says
  // which blocks are to be copied where because theirs go. Nullopt, and no change, where what is
  // live and reserved is more. O(total blocks).
  std::optional<std::vector<BlockMove>> PrepareResize(Blocks total);
  // The pool has so many blocks from now on. `moves` are what PrepareResize said, nothing changed
  // since, and the copies are made; whoever has a block's id asks for it again. O(most()).
  void Resize(Blocks total, std::span<const BlockMove> moves);
  Blocks most() const { return pool_.most(); }

  // What happened to named blocks (see block_events.h), while Options::events says that it is told.
  // At most `most` > 0 changes after the one with this number; nullopt: take a snapshot.
  std::optional<std::vector<BlockEvent>> EventsSince(int64_t number, int64_t most) const;
  // Cleared, then all that is named, as events with the number of the last change. O(total).
  std::vector<BlockEvent> EventSnapshot() const;
  int64_t LastEvent() const;  // number of the last change

  // The sequence takes over `n` more of the reserved blocks.
  void AddPromise(SequenceId id, Blocks n);
  // A new sequence that begins with all that `id` holds, and takes over `promised` of the reserved
  // blocks: BlocksForFork says how many (at least one where the last block is part full). Both can
  // then grow as far as they were promised. What they share is named alike. O(blocks).
  SequenceId Fork(SequenceId id, Blocks promised);
  // What it takes to add `n` > 0 tokens, and to have `lookahead` slots behind them; nullopt when
  // promise and free blocks do not suffice.
  std::optional<AppendPlan> PlanAppend(SequenceId id, Tokens n, Tokens lookahead = Tokens(0)) const;
  // Returns what is to be copied before the new tokens are written. Copies are made in the order of
  // commits, and those of a step before anything of that step is written.
  std::optional<BlockCopy> Commit(const AppendPlan& plan);
  // Both at once, for what a loop does in every step: adds `n` > 0 tokens to a sequence that was
  // promised room for them and whose last block nobody else holds or can find; else it aborts.
  // Returns its table, as Table does.
  std::span<const BlockId> AppendPromised(SequenceId id, Tokens n);
  // Takes back all tokens from `length` on, which is at most the sequence's, and lookahead slots.
  // Blocks that nobody else holds are promised to the sequence again, except those it took beyond
  // its promise; cached ones may have to go for that. A block that is cut and that others hold or
  // can find stays as it is: the next append copies it, and needs room for that.
  void Truncate(SequenceId id, Tokens length);
  // Takes from a sequence all that it holds and was promised, as End does, but it stays and is
  // empty; what is named may be found again. Resume is BeginWith for it, and false for nullopt:
  // `prompt` may name generated tokens too, and what is not found is computed again.
  void Preempt(SequenceId id);
  bool Resume(SequenceId id, const Prompt& prompt, Blocks total);
  // What `available` would grow by. O(blocks of the sequence).
  Blocks RoomIfPreempted(SequenceId id) const;
  // Ends a sequence: its named blocks become cached where nobody else holds them; its other blocks,
  // and what is left of its promise, become free.
  void End(SequenceId id);

  Tokens Length(SequenceId id) const { return sequences_.At(id).length; }
  Blocks PromiseLeft(SequenceId id) const { return sequences_.At(id).promise_left; }
  // Block i holds tokens [i * block_tokens, (i + 1) * block_tokens). Valid until the next change
  // of this sequence.
  std::span<const BlockId> Table(SequenceId id) const { return sequences_.At(id).blocks; }
  int64_t sequences() const { return sequences_.size(); }

  CacheUsage Usage() const;  // O(1)
  // Who holds what, in the order of ids. O(blocks held).
  std::vector<Holder> Holders() const;
  // See block_pool.h: chunks that the arena could give back, where Options::chunk is set.
  std::optional<int64_t> FreeChunksAtEnd() const { return pool_.FreeChunksAtEnd(); }

  // The first broken invariant, with the owner of the block in question; nullopt when all hold.
  // O(total).
  std::optional<std::string> FindViolation() const;
  // Aborts with what FindViolation says.
  void CheckInvariants() const;

 private:
  // Named blocks. The index holds a reference to each of them.
  struct Prefixes {
    PrefixHasher hasher;
    PrefixIndex index;
    std::unique_ptr<EvictionPolicy> policy;
    std::optional<BlockEvents> events;
    ZeroedArray<bool> by_hash;  // by block: what kind of name it has, while events are told
  };

  // What the latest LookUp found, kept for the memory of its lists.
  struct LookedUp {
    std::vector<BlockId> found;
    std::vector<PrefixKey> keys;  // as far as they were made
    std::optional<NamedPrefix> prefix;
  };

  KvCache(BlockPool pool, Tokens block_tokens, std::optional<Prefixes> prefixes);
  static absl::StatusOr<BlockPool> CreatePool(const Options& options, const BlockRows& rows);
  static absl::StatusOr<Prefixes> CreatePrefixes(const Options& options, Blocks most,
                                                 const BlockRows& rows);
  static absl::Status CreateEvents(const Options& options, Blocks most, Prefixes& prefixes);
  // Finds what of a prompt is there, and says whether there is room for a sequence to hold that and
  // be promised the rest of `total`. Then it may Start.
  bool LookUp(const Prompt& prompt, Blocks total);
  void Start(Sequence& sequence, const Prompt& prompt, Blocks total);
  void TellPolicy(const BlockNames& names);
  void GiveUpAll(Sequence& sequence);
  void HoldFound(BlockId block);
  void NameBatch(Sequence& sequence, const BlockNames& names);
  // Names one block of a sequence.
  void NameNext(Sequence& sequence, const PrefixKey& key, const BlockNames& names, int64_t i);
  void TellStored(BlockId block, const BlockNames& names, std::span<const std::byte> content);
  std::optional<PrefixKey> ParentKeyOf(BlockId block) const;
  // Holds `other` in place of the next block to be named, which holds the same.
  void TakeOver(Sequence& sequence, BlockId other);
  // Lets go of one block, or of all from one on, and says how much room that makes.
  Blocks LetGo(const Sequence& sequence, int64_t position);
  Blocks LetGoFrom(const Sequence& sequence, int64_t first);
  // Keeps a named block that nobody holds any more.
  void Keep(BlockId block, const NamedPrefix& prefix, int64_t position);
  // The sequence has named only so many blocks.
  void TakeBackNames(Sequence& sequence, int64_t blocks);
  Tokens TokensIn(const Sequence& sequence, int64_t position) const;
  bool IsNamed(const Sequence& sequence, BlockId block) const;
  // A holder of a block without a name has `after` tokens in it and no more `before`, or lets go of
  // it; so many others hold it too.
  void CountFewer(BlockId block, Tokens before, std::optional<Tokens> after, int32_t others);
  // The block at a position is the last one that stays where a sequence is cut to `length`.
  void CutLast(const Sequence& sequence, int64_t position, Tokens length);
  // The block that the next token would go into, if others hold it or can find it.
  std::optional<BlockId> SharedTail(const Sequence& sequence) const;
  // Puts a block of its own, for which there is room, in place of the shared tail.
  BlockCopy ReplaceTail(Sequence& sequence, bool from_spare);
  // Frees a spare of a block with so many holders if that is one too many; says how much room that
  // makes.
  Blocks TakeBackSpare(BlockId block, int32_t holders);
  PrefixKey EvictOne();  // returns what its name was
  void EvictOneAndTell();
  std::vector<BlockMove> MovesBelow(Blocks total) const;
  void RenameBlocks(std::span<const BlockMove> moves);
  // Evicts until `n` blocks are free; they are available.
  void MakeRoom(Blocks n);
  std::optional<std::string> FindWrongOwner() const;
  std::optional<std::string> FindWrongPrefix() const;
  std::optional<std::string> FindWrongSequence() const;
  std::optional<std::string> FindWrongUsage() const;
  // In a build with PLIMSOLL_DEBUG_CHECKS, aborts unless the counters agree and, in a small pool,
  // everything else does too.
  void Verify() const;

  const Tokens block_tokens_;
  BlockPool pool_;
  std::optional<Prefixes> prefixes_;
  LookedUp looked_up_;
  SequenceTable sequences_;
  BlockCounts counts_;
  Blocks unclaimed_;  // reserved blocks that no sequence took over
  Tokens filled_;     // slots of live blocks that hold a token
  // Blocks without a name in which their holders have different numbers of tokens, and how many
  // have each: forks that took tokens back.
  std::unordered_map<BlockId, std::map<Tokens, int32_t>> uneven_;
  // Blocks that forks share and that are part full, with how many reserved blocks are set aside for
  // copies of each: fewer than it has holders.
  std::unordered_map<BlockId, int32_t> spares_;
};

}  // namespace plimsoll
