// What blocks hold, one name for each: the tokens themselves, or a hash that the client made of
// them. Names by tokens and names by hashes are different worlds and never meet.
//
// Threads: a view of memory that somebody else owns. Cost: O(1). Errors: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kvcache/base/check.h"
#include "kvcache/base/units.h"

namespace plimsoll {

class BlockNames {
 public:
  BlockNames() = default;
  // As many blocks as `tokens` fill; what is left over has no name.
  static BlockNames OfTokens(std::span<const int32_t> tokens, Tokens block_tokens) {
    const auto per_block = static_cast<size_t>(block_tokens.value());
    return {std::as_bytes(tokens.first(tokens.size() / per_block * per_block)),
            per_block * sizeof(int32_t), false};
  }
  // One hash for each block, of the block and of all that comes before it.
  static BlockNames OfHashes(std::span<const uint64_t> hashes) {
    return {std::as_bytes(hashes), sizeof(uint64_t), true};
  }

  bool by_hash() const { return by_hash_; }
  int64_t size() const { return std::ssize(bytes_) / static_cast<int64_t>(bytes_each_); }
  std::span<const std::byte> operator[](int64_t i) const {
    PLIMSOLL_CHECK(i >= 0 && i < size(), i, size());
    return bytes_.subspan(static_cast<size_t>(i) * bytes_each_, bytes_each_);
  }
  BlockNames Subrange(int64_t first, int64_t count) const {
    PLIMSOLL_CHECK(first >= 0 && count >= 0 && count <= size() - first, first, count, size());
    return {bytes_.subspan(static_cast<size_t>(first) * bytes_each_,
                           static_cast<size_t>(count) * bytes_each_),
            bytes_each_, by_hash_};
  }

 private:
  BlockNames(std::span<const std::byte> bytes, size_t bytes_each, bool by_hash)
      : bytes_(bytes), bytes_each_(bytes_each), by_hash_(by_hash) {}

  std::span<const std::byte> bytes_;
  size_t bytes_each_ = sizeof(uint64_t);
  bool by_hash_ = false;
};

// What begins a sequence, as far as it may be shared.
struct Prompt {
  std::string_view salt;  // nothing is shared between salts
  BlockNames names;       // of its full blocks
};

}  // namespace plimsoll
