// A key for a block and all that comes before it: a chain of 128-bit hashes under a secret.
//
// The chain of each salt (a tenant) starts elsewhere, so equal prompts of two salts have different
// keys. Keys only lead to candidates; who finds one compares what it holds (prefix_index.h).
//
// Threads: a hasher is constant. Cost: one XXH3 hash per block. Errors: none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace plimsoll {

struct PrefixKey {
  uint64_t low = 0;
  uint64_t high = 0;

  friend bool operator==(const PrefixKey&, const PrefixKey&) = default;
};

class PrefixHasher {
 public:
  // Hashers of one seed give the same keys. Whoever knows the seed can make keys collide.
  explicit PrefixHasher(uint64_t seed);

  // Where the chains of a salt start; names by hash and names by tokens start apart.
  PrefixKey Root(std::string_view salt, bool by_hash) const;
  // The key of a block that holds `content` (at most 4096 bytes) and follows `parent`.
  PrefixKey Next(const PrefixKey& parent, std::span<const std::byte> content) const;

 private:
  PrefixKey Hash(std::span<const std::byte> bytes) const;

  std::array<uint64_t, 24> secret_;
};

}  // namespace plimsoll
