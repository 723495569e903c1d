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
// after Create, and memory of blocks that were never here is not touched. 32 bytes per block and 4
// to 8 of hash table, the contents apart.
// Errors: misuse aborts: adding a block twice, removing one that is not here or has children.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
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
  std::optional<BlockId> block() const {
    return value_ < 0 ? std::nullopt : std::optional(BlockId(value_));
  }
  friend bool operator==(PrefixParent, PrefixParent) = default;

 private:
  friend class PrefixIndex;
  explicit PrefixParent(int32_t value) : value_(value) {}

  int32_t value_;  // below zero: 31 bits that tell one root from another
};

class PrefixIndex {
 public:
  // `capacity` in [1, 2^31 - 1] blocks with contents of up to `content_bytes`. ResourceExhausted
  // without memory.
  static absl::StatusOr<PrefixIndex> Create(Blocks capacity, size_t content_bytes);

  // Makes a Find of the key soon after this cheap.
  void Prefetch(const PrefixKey& key) const { __builtin_prefetch(&heads_[BucketOf(key)]); }
  std::optional<BlockId> Find(const PrefixKey& key, PrefixParent parent,
                              std::span<const std::byte> content) const;
  // `content` is copied. Find must not find it already.
  void Add(BlockId block, const PrefixKey& key, PrefixParent parent,
           std::span<const std::byte> content);
  // Returns the block that it followed, if it did not follow a root.
  std::optional<BlockId> Remove(BlockId block);

  bool Contains(BlockId block) const { return states_[IndexOf(block)] != 0; }
  int32_t children(BlockId block) const { return states_[IndexOf(block)] - 1; }
  const PrefixKey& KeyOf(BlockId block) const { return keys_[IndexOf(block)]; }
  PrefixParent ParentOf(BlockId block) const { return PrefixParent(parents_[IndexOf(block)]); }
  // As long as the longest content may be; what is longer than this block's has no meaning.
  std::span<const std::byte> ContentOf(BlockId block) const {
    return std::span(content_.data() + IndexOf(block) * content_bytes_, content_bytes_);
  }
  Blocks size() const { return Blocks(size_); }

  // What is wrong, or nullopt. O(capacity).
  std::optional<std::string> FindViolation() const;

 private:
  PrefixIndex() = default;
  size_t IndexOf(BlockId block) const;
  size_t BucketOf(const PrefixKey& key) const { return key.low & bucket_mask_; }

  int32_t capacity_ = 0;
  int64_t size_ = 0;
  size_t content_bytes_ = 0;
  size_t bucket_mask_ = 0;
  // A block in a list is stored as its index plus one; zero is the end.
  ZeroedArray<uint32_t> heads_;     // by bucket
  ZeroedArray<uint32_t> next_;      // by block: the next one of its bucket
  ZeroedArray<PrefixKey> keys_;     // by block, as are the others
  ZeroedArray<int32_t> parents_;    // PrefixParent's value
  ZeroedArray<int32_t> states_;     // zero: not here; else one more than its children
  ZeroedArray<std::byte> content_;  // content_bytes_ for each block
};

}  // namespace plimsoll
