// The sequences of a cache, each with its length, its block table and what is left of its promise.
//
// Invariants: an id names one sequence for the life of the table and is never used again. Sequences
// that were forked from one, at any remove, are in one circle.
//
// Threads: none; the owner serialises calls. Cost: O(1) per call.
// Errors: an unknown id aborts with it.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/eviction.h"
#include "kvcache/pool/prefix_index.h"

namespace plimsoll {

// How far the blocks of a sequence are named, so that others can find them.
struct NamedPrefix {
  PrefixKey root;       // where the chain of its salt starts
  PrefixParent parent;  // what the next block to be named follows
  PrefixKey key;        // of that
  int64_t found = 0;    // blocks that were there when the sequence began
  int64_t named = 0;    // those, and the ones that it named itself
  UseTag tag = 0;       // what the eviction policy makes of the request
};

struct Sequence {
  Tokens length;
  Tokens reach;                 // at least `length`: token slots it asked for, lookahead included
  Blocks promise_left;          // promised and not yet filled
  Blocks beyond;                // blocks it took without having been promised them
  std::vector<BlockId> blocks;  // block i holds tokens [i * block_tokens, (i + 1) * block_tokens)
  std::optional<NamedPrefix> prefix;  // of one that takes part in sharing
  Sequence* next_fork = nullptr;      // in the circle of those forked from one; may be itself
  Sequence* previous_fork = nullptr;
};

class SequenceTable {
 public:
  SequenceTable() = default;
  SequenceTable(const SequenceTable&) = delete;  // sequences point to each other
  SequenceTable& operator=(const SequenceTable&) = delete;

  // An empty sequence; its block table has room for what it was promised.
  SequenceId Add(Blocks promised);
  // An empty sequence in one circle of forks with `id`.
  SequenceId AddFork(SequenceId id, Blocks promised);
  Sequence& At(SequenceId id);
  const Sequence& At(SequenceId id) const;
  void Remove(SequenceId id);

  int64_t size() const { return std::ssize(sequences_); }
  auto begin() { return sequences_.begin(); }
  auto end() { return sequences_.end(); }
  auto begin() const { return sequences_.begin(); }
  auto end() const { return sequences_.end(); }

 private:
  std::unordered_map<SequenceId, Sequence> sequences_;
  int64_t next_ = 0;
};

}  // namespace plimsoll
