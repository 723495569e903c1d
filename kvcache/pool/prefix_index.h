// Blocks by what they hold and what comes before them: a tree of prefixes found by hash.
//
// A block is found only where its key, what it follows and what it holds are all the same, so two
// prompts whose keys collide never meet. What it follows is a block that is still here: a block
// with children cannot be removed.
//
// Invariants, which FindViolation() looks for: a block is here at most once, with a content that no
// other block has after the same parent; the parent of each is here, or is a root; children() is
// how many follow a block.
//
// Threads: none; the owner serialises calls. Cost: O(1) expected per call; nothing is allocated
// after Create, and memory of blocks that were never here is not touched. 36 bytes per block, the
// contents apart; its maker may lay the entries in rows with what else is kept of a block. What a
// large index costs is waiting for memory, so many are found or removed at a time with what the
// next ones need already on its way. Errors: misuse aborts: adding a block twice, removing one that
// is not here or has children.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "kvcache/base/check.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/block_column.h"
#include "kvcache/pool/block_pool.h"
#include "kvcache/pool/prefix_key.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

// What a block follows: another block, or nothing but the root of its salt.
class PrefixParent {
 public:
  explicit PrefixParent(BlockId block) : value_(block.index()) {}
  static PrefixParent Root(const PrefixKey& root) {
    return PrefixParent(-1 - static_cast<int32_t>(root.high >> 33));
  }
  bool is_root() const { return value_ < 0; }
  // Unless it is a root. On a path where nanoseconds count this is cheaper than block(): an
  // optional is written in two parts and read as one, for which the processor waits.
  BlockId id() const { return BlockId(value_); }
  std::optional<BlockId> block() const { return is_root() ? std::nullopt : std::optional(id()); }
  friend bool operator==(PrefixParent, PrefixParent) = default;

 private:
  friend class PrefixIndex;
  explicit PrefixParent(int32_t value) : value_(value) {}

  int32_t value_;  // below zero: 31 bits that tell one root from another
};

class PrefixIndex {
 public:
  // Of one block. A block in a list is stored as its index plus one; zero is the end.
  struct Entry {
    PrefixKey key;
    uint32_t next;          // of its bucket
    int32_t parent;         // PrefixParent's value
    int32_t state;          // zero: not here; else one more than its children
    uint32_t let_go_after;  // a block let go kAhead calls of LetGo later
  };

  // `capacity` in [1, 2^31 - 1] blocks with contents of up to `content_bytes`, and as many entries
  // at least, by default its own. ResourceExhausted without memory.
  static absl::StatusOr<PrefixIndex> Create(Blocks capacity, size_t content_bytes);
  static absl::StatusOr<PrefixIndex> Create(Blocks capacity, size_t content_bytes,
                                            BlockColumn<Entry> entries);

  std::optional<BlockId> Find(const PrefixKey& key, PrefixParent parent,
                              std::span<const std::byte> content) const;
  // Two steps that make a Find of the keys soon after them cheap: one for each key as it is made,
  // and one for many of them.
  void Prefetch(const PrefixKey& key) const { __builtin_prefetch(&heads_[BucketOf(key)]); }
  void Prefetch(std::span<const PrefixKey> keys) const;
  // The second step for an Add of blocks under these keys.
  void PrefetchAdd(std::span<const PrefixKey> keys, std::span<const BlockId> blocks) const;
  // `content` is copied. Find must not find it already.
  void Add(BlockId block, const PrefixKey& key, PrefixParent parent,
           std::span<const std::byte> content);
  // Returns what it followed.
  PrefixParent Remove(BlockId block);

  // What is named under one id is under another from now on, and what follows it too; blocks
  // without a name stay out of it. No block that is here then has an index of `total` or more.
  // O(total).
  void Move(std::span<const BlockMove> moves, Blocks total);

  // Blocks that are let go one after another are likely to be removed one after another: having
  // heard of each, the index knows one that was let go soon after `block`, if any.
  void LetGo(BlockId block);
  std::optional<BlockId> LetGoAfter(BlockId block) const {
    const uint32_t stored = At(block).let_go_after;
    return stored == 0 ? std::nullopt : std::optional(BlockId(static_cast<int32_t>(stored - 1)));
  }
  // Makes Remove soon after this cheap, most so a few calls later.
  void PrefetchRemove(BlockId block);

  bool Contains(BlockId block) const { return At(block).state != 0; }
  int32_t children(BlockId block) const { return At(block).state - 1; }
  const PrefixKey& KeyOf(BlockId block) const { return At(block).key; }
  PrefixParent ParentOf(BlockId block) const { return PrefixParent(At(block).parent); }
  // As long as the longest content may be; what is longer than this block's has no meaning.
  std::span<const std::byte> ContentOf(BlockId block) const {
    return std::span(content_.data() + IndexOf(block) * content_bytes_, content_bytes_);
  }
  Blocks size() const { return Blocks(size_); }

  // What is wrong, or nullopt. O(capacity).
  std::optional<std::string> FindViolation() const;

 private:
  static constexpr size_t kStep = 16;  // calls that memory takes to come
  static constexpr size_t kAhead = 4 * kStep;

  explicit PrefixIndex(BlockColumn<Entry> entries) : entries_(std::move(entries)) {}
  void MoveEntry(size_t from, size_t to);
  size_t IndexOf(BlockId block) const {
    PLIMSOLL_CHECK(block.index() < capacity_, block, capacity_);
    return static_cast<size_t>(block.index());
  }
  Entry& At(BlockId block) { return entries_[IndexOf(block)]; }
  const Entry& At(BlockId block) const { return entries_[IndexOf(block)]; }
  const std::byte* ContentAt(size_t i) const { return content_.data() + i * content_bytes_; }
  // The block named `steps` steps ago, if any, by PrefetchRemove.
  uint32_t Soon(size_t steps) const {
    return soon_[(soon_count_ + soon_.size() - steps * kStep) % soon_.size()];
  }
  uint32_t HeadOf(uint32_t stored) const { return heads_[BucketOf(entries_[stored - 1].key)]; }
  void PrefetchEntry(uint32_t stored) const {
    if (stored != 0) __builtin_prefetch(&entries_[stored - 1]);
  }
  // There are as many buckets as blocks, and every 32 bits of a key are as good as any.
  size_t BucketOf(const PrefixKey& key) const {
    return ((key.low >> 32) * static_cast<uint64_t>(capacity_)) >> 32;
  }

  int32_t capacity_ = 0;
  int64_t size_ = 0;
  size_t content_bytes_ = 0;
  ZeroedArray<uint32_t> heads_;     // by bucket
  BlockColumn<Entry> entries_;      // by block
  ZeroedArray<std::byte> content_;  // content_bytes_ for each block
  // The latest blocks let go, and the latest that are to be removed soon, each in a ring.
  std::array<uint32_t, kAhead> let_go_ = {};
  std::array<uint32_t, kAhead> soon_ = {};
  size_t let_go_count_ = 0;
  size_t soon_count_ = 0;
};

}  // namespace plimsoll
