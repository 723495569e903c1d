// Which of the blocks that nobody holds goes first when room is needed.
//
// The cache says what happens to each block; the policy keeps an order and offers the next victim.
// A block that others follow is not removed, since without it they could not be found: the cache
// sets it aside and brings it back when the last of them has gone.
//
// A block's life: Stored when it gets a content, Keep when its last holder lets go, Hold when
// somebody found it, Removed at its end.
//
// Threads: none; the owner serialises calls. Cost: O(1) per block, amortised; nothing is allocated
// after the policy is made. Errors: misuse aborts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/block_list.h"
#include "kvcache/pool/prefix_key.h"

namespace plimsoll {

enum class Eviction : uint8_t { kOff, kFifo, kLru, kLearned };

std::string_view NameOf(Eviction eviction);  // "off", "fifo", "lru", "learned"
std::optional<Eviction> EvictionFromName(std::string_view name);

// What kind of request used a block, in a number that means something to one policy only.
using UseTag = uint8_t;

// How the request that lets go of a block had used it. A request's blocks are in two parts: those
// it found and those it added; the last one added is told apart.
struct BlockUse {
  UseTag tag = 0;
  bool found = false;
  bool last = false;
  int64_t position = 0;  // in its part
  int64_t part_size = 1;
};

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // A request comes, ...
  virtual void BeginRequest() {}
  // ... asks for blocks with these keys, where the policy wants to know, ...
  virtual bool LearnsFromKeys() const { return false; }
  virtual void Asked(std::span<const PrefixKey> /*keys*/) {}
  // ... and finds some, of `asked` in all. Returns what its blocks will be kept with.
  virtual UseTag Found(std::span<const BlockId> /*found*/, int64_t /*asked*/) { return 0; }

  virtual void Stored(BlockId /*block*/) {}
  virtual void Keep(BlockId block, const PrefixKey& key, const BlockUse& use) = 0;
  virtual void Hold(BlockId block) = 0;
  virtual void Removed(BlockId block) = 0;

  // What was stored under one id is under another now; `kept` if nobody holds it.
  virtual void Moved(BlockId from, BlockId to, bool kept) = 0;

  // The next victim; something is kept that is not set aside.
  virtual BlockId Next() = 0;
  virtual void SetAside(BlockId block) = 0;   // the one that Next said
  virtual void BringBack(BlockId block) = 0;  // harmless for a block that is not set aside

  // Makes Removed soon after this cheap.
  virtual void Prefetch(BlockId /*block*/) const {}
};

// What a policy keeps of each block in memory of its maker's.
struct EvictionColumns {
  BlockColumn<BlockLinks::Links> links;
  BlockColumn<uint32_t> kept_at;
};

// `eviction` is not kOff; with columns of its own, or with these. ResourceExhausted without memory.
absl::StatusOr<std::unique_ptr<EvictionPolicy>> CreateEvictionPolicy(Eviction eviction,
                                                                     Blocks capacity,
                                                                     Tokens block_tokens);
absl::StatusOr<std::unique_ptr<EvictionPolicy>> CreateEvictionPolicy(Eviction eviction,
                                                                     Blocks capacity,
                                                                     Tokens block_tokens,
                                                                     EvictionColumns columns);

}  // namespace plimsoll
