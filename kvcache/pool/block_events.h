// What happened to the named blocks of a cache, for those who mirror it: routers that send a
// request to the server that holds its prefix.
//
// Every change (a block stored or removed, all of them cleared) has a number, one more than the
// change before. The last so many are kept. A subscriber that knows all changes up to a number asks
// for those since; one that is new, or asks for changes that are kept no longer, takes a snapshot,
// which is a list of events as well, and goes on from the snapshot's number. So whoever joins late
// or loses events ends up with the same content. Events carry the fields that vLLM's have; who
// publishes them adds what is the same for all (medium, rank) and the epoch of the server, because
// numbers of two lives of a server say nothing of each other.
//
// Events tell what prompts hold, of all salts: they are for the operator, not for tenants.
//
// Invariants: numbers grow by one; a stored block's parent was stored before it and is not removed
// before it.
//
// Threads: none; the owner serialises calls. Cost: O(1) per change, nothing is allocated after
// Create; reading is O(what is read). Errors: changes that are kept no longer are nullopt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/prefix_key.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

enum class BlockEventKind : uint8_t { kStored, kRemoved, kCleared };

// One or more changes of one kind that came one after the other.
struct BlockEvent {
  BlockEventKind kind = BlockEventKind::kCleared;
  int64_t number = 0;                        // of the last change in it
  std::vector<PrefixKey> block_hashes = {};  // stored: each follows the one before it
  std::optional<PrefixKey> parent_block_hash =
      {};                                    // stored: what the first follows; none at a root
  std::vector<int32_t> token_ids = {};       // stored by tokens: block_size for each hash
  std::vector<uint64_t> client_hashes = {};  // stored by the client's hashes: one for each
  Tokens block_size = {};                    // stored

  friend bool operator==(const BlockEvent&, const BlockEvent&) = default;
};

// A block that is stored.
struct StoredBlock {
  PrefixKey key;
  std::optional<PrefixKey> parent;
  bool by_hash = false;
  std::span<const std::byte> content;
};

// Appends a stored block to the last event where it follows that one's last block, else as an event
// of its own.
void AppendStored(const StoredBlock& block, int64_t number, Tokens block_size,
                  std::vector<BlockEvent>& events);

class BlockEvents {
 public:
  static constexpr int64_t kMost = int64_t{1} << 24;
  // Keeps `changes` in [1, kMost] of them. ResourceExhausted without memory.
  static absl::StatusOr<BlockEvents> Create(int64_t changes, Tokens block_size);

  void Stored(const StoredBlock& block);  // its content is copied
  void Removed(const PrefixKey& key);
  void Cleared();

  int64_t last() const { return last_; }  // number of the last change; 0 before the first
  // At most `most` changes after the one with this number. Nullopt where one of them is kept no
  // longer, or the number is none of this log's.
  std::optional<std::vector<BlockEvent>> Since(int64_t number, int64_t most) const;

 private:
  struct Change {
    PrefixKey key;
    PrefixKey parent;
    BlockEventKind kind;
    bool has_parent;
    bool by_hash;
  };

  BlockEvents() = default;
  size_t PlaceOf(int64_t number) const { return static_cast<size_t>(number % changes_); }
  Change& Next(BlockEventKind kind, const PrefixKey& key);
  void Append(int64_t number, std::vector<BlockEvent>& events) const;

  int64_t changes_ = 0;
  int64_t last_ = 0;
  Tokens block_size_;
  size_t content_bytes_ = 0;
  ZeroedArray<Change> ring_;
  ZeroedArray<std::byte> content_;  // content_bytes_ for each
};

}  // namespace plimsoll
