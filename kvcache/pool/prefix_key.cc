#include "kvcache/pool/prefix_key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr size_t kMaxContent = 4096;

// splitmix64: spreads a seed over as many words as are asked for.
uint64_t NextWord(uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t word = state;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
  return word ^ (word >> 31);
}

}  // namespace

PrefixHasher::PrefixHasher(uint64_t seed) {
  for (uint64_t& word : secret_) word = NextWord(seed);
}

PrefixKey PrefixHasher::Hash(std::span<const std::byte> bytes) const {
  static_assert(sizeof(secret_) >= XXH3_SECRET_SIZE_MIN);
  const XXH128_hash_t hash =
      XXH3_128bits_withSecret(bytes.data(), bytes.size(), secret_.data(), sizeof(secret_));
  return {hash.low64, hash.high64};
}

PrefixKey PrefixHasher::Root(std::string_view salt, bool by_hash) const {
  const PrefixKey key = Hash(std::as_bytes(std::span(salt.data(), salt.size())));
  const std::byte kind[1] = {by_hash ? std::byte{1} : std::byte{0}};
  return Next(key, kind);
}

PrefixKey PrefixHasher::Next(const PrefixKey& parent, std::span<const std::byte> content) const {
  PLIMSOLL_CHECK(content.size() <= kMaxContent, content.size());
  std::array<std::byte, sizeof(PrefixKey) + kMaxContent> bytes;
  std::memcpy(bytes.data(), &parent, sizeof(parent));
  std::memcpy(bytes.data() + sizeof(parent), content.data(), content.size());
  return Hash(std::span(bytes).first(sizeof(parent) + content.size()));
}

}  // namespace plimsoll
