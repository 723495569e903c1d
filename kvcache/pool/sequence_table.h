// The sequences of a cache, each with its length, its block table and what is left of its promise.
//
// Invariants: an id names one sequence for the life of the table and is never used again.
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
  PrefixParent parent;  // what the next block to be named follows
  PrefixKey key;        // of that
  int64_t found = 0;    // blocks that were there when the sequence began
  int64_t named = 0;    // those, and the ones that it named itself
  UseTag tag = 0;       // what the eviction policy makes of the request
};

struct Sequence {
  Tokens length;
  Blocks promise_left;          // promised and not yet filled
  std::vector<BlockId> blocks;  // block i holds tokens [i * block_tokens, (i + 1) * block_tokens)
  std::optional<NamedPrefix> prefix;  // of one that takes part in sharing
};

class SequenceTable {
 public:
  // An empty sequence; its block table has room for what it was promised.
  SequenceId Add(Blocks promised);
  Sequence& At(SequenceId id);
  const Sequence& At(SequenceId id) const;
  void Remove(SequenceId id);

  int64_t size() const { return std::ssize(sequences_); }
  auto begin() const { return sequences_.begin(); }
  auto end() const { return sequences_.end(); }

 private:
  std::unordered_map<SequenceId, Sequence> sequences_;
  int64_t next_ = 0;
};

}  // namespace plimsoll
