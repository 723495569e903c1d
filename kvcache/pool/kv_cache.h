// The paged KV cache: who holds which block, and what has been promised.
//
// Every block is live (holds tokens of a running sequence), cached (kept only for reuse), reserved
// (promised, not yet filled) or free. A promise comes first, then a sequence that lives on it: its
// blocks move from reserved to live one by one as tokens arrive, and back to free when it ends.
//
// Invariants, which CheckInvariants() verifies:
//   1. live + cached + reserved + free == total. counts() shows it in O(1); a build with
//      PLIMSOLL_DEBUG_CHECKS verifies it after every call.
//   2. A block is on the free list exactly when no sequence holds it.
//   3. A sequence holds BlocksForSequence(length) blocks; all promises not yet filled add up to
//      `reserved`.
//
// Plan, then commit: PlanAppend reads and decides, Commit applies and cannot fail; a plan that is
// no longer true aborts.
//
// Threads: none; see admission/shared_admission.h for sharing. Cost: O(blocks touched).
// Errors: no room is nullopt or false, an ordinary answer; misuse (an unknown sequence, giving up
// more than was promised) aborts with the numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/block_pool.h"
#include "kvcache/pool/sequence_table.h"

namespace plimsoll {

struct BlockCounts {
  Blocks total, live, cached, reserved, free;

  bool Conserved() const { return live + cached + reserved + free == total; }
  friend bool operator==(const BlockCounts&, const BlockCounts&) = default;
};

// What an append takes: a value that can be printed, compared and thrown away.
struct AppendPlan {
  SequenceId sequence;
  Tokens old_length;
  Tokens new_length;
  Blocks from_promise;  // new blocks the sequence was promised
  Blocks from_free;     // new blocks beyond its promise

  friend bool operator==(const AppendPlan&, const AppendPlan&) = default;
};

class KvCache {
 public:
  struct Options {
    Blocks capacity;                   // in [1, 2^31 - 1]
    Tokens block_tokens = Tokens(16);  // a power of two in [1, 1024]
  };
  // InvalidArgument, naming the field, for an option out of range; ResourceExhausted without
  // memory to count that many blocks.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const Options& options);

  Tokens block_tokens() const { return block_tokens_; }
  BlockCounts counts() const { return counts_; }  // O(1)

  // Moves `n` blocks from free to reserved, or says no and changes nothing.
  bool Promise(Blocks n);
  // Gives back `n` promised blocks that no sequence took over.
  void Forgo(Blocks n);

  // Starts an empty sequence that takes over `promised` of the reserved blocks (may be none).
  SequenceId Begin(Blocks promised);
  // The sequence takes over `n` more of the reserved blocks.
  void AddPromise(SequenceId id, Blocks n);
  // What it takes to add `n` > 0 tokens; nullopt when promise and free blocks do not suffice.
  std::optional<AppendPlan> PlanAppend(SequenceId id, Tokens n) const;
  void Commit(const AppendPlan& plan);
  // Ends a sequence: its blocks, and what is left of its promise, become free.
  void End(SequenceId id);

  Tokens Length(SequenceId id) const { return sequences_.At(id).length; }
  Blocks PromiseLeft(SequenceId id) const { return sequences_.At(id).promise_left; }
  // Block i holds tokens [i * block_tokens, (i + 1) * block_tokens). Valid until the next change
  // of this sequence.
  std::span<const BlockId> Table(SequenceId id) const { return sequences_.At(id).blocks; }
  int64_t sequences() const { return sequences_.size(); }

  // The first broken invariant, with the owner of the block in question; nullopt when all hold.
  // O(total).
  std::optional<std::string> FindViolation() const;
  // Aborts with what FindViolation says.
  void CheckInvariants() const;

 private:
  KvCache(BlockPool pool, Tokens block_tokens);
  std::optional<std::string> FindWrongOwner() const;
  std::optional<std::string> FindWrongSequence() const;
  // In a build with PLIMSOLL_DEBUG_CHECKS, aborts unless the counters agree and, in a small pool,
  // everything else does too.
  void Verify() const;

  const Tokens block_tokens_;
  BlockPool pool_;
  SequenceTable sequences_;
  BlockCounts counts_;
  Blocks unclaimed_;  // reserved blocks that no sequence took over
};

}  // namespace plimsoll
