#include "kvcache/pool/prefix_index.h"

#include <bit>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<PrefixIndex> PrefixIndex::Create(Blocks capacity, size_t content_bytes) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (capacity < Blocks(1) || capacity > Blocks(kMost)) {
    return BadField("blocks", capacity.value(), "1 to " + std::to_string(kMost));
  }
  const auto count = static_cast<size_t>(capacity.value());
  const size_t buckets = std::bit_ceil(count);
  PrefixIndex index;
  index.capacity_ = static_cast<int32_t>(capacity.value());
  index.content_bytes_ = content_bytes;
  index.bucket_mask_ = buckets - 1;
  index.heads_ = ZeroedArray<uint32_t>(buckets);
  index.next_ = ZeroedArray<uint32_t>(count);
  index.keys_ = ZeroedArray<PrefixKey>(count);
  index.parents_ = ZeroedArray<int32_t>(count);
  index.states_ = ZeroedArray<int32_t>(count);
  index.content_ = ZeroedArray<std::byte>(count * content_bytes);
  if (index.heads_ && index.next_ && index.keys_ && index.parents_ && index.states_ &&
      index.content_) {
    return index;
  }
  return absl::ResourceExhaustedError("no memory to index " + std::to_string(count) + " blocks");
}

size_t PrefixIndex::IndexOf(BlockId block) const {
  PLIMSOLL_CHECK(block.index() < capacity_, block, capacity_);
  return static_cast<size_t>(block.index());
}

std::optional<BlockId> PrefixIndex::Find(const PrefixKey& key, PrefixParent parent,
                                         std::span<const std::byte> content) const {
  PLIMSOLL_CHECK(content.size() <= content_bytes_, content.size(), content_bytes_);
  for (uint32_t at = heads_[BucketOf(key)]; at != 0; at = next_[at - 1]) {
    const size_t i = at - 1;
    if (keys_[i] != key || parents_[i] != parent.value_) continue;
    if (std::memcmp(content_.data() + i * content_bytes_, content.data(), content.size()) == 0) {
      return BlockId(static_cast<int32_t>(i));
    }
  }
  return std::nullopt;
}

void PrefixIndex::Add(BlockId block, const PrefixKey& key, PrefixParent parent,
                      std::span<const std::byte> content) {
  const size_t i = IndexOf(block);
  PLIMSOLL_CHECK(states_[i] == 0, block);
  PLIMSOLL_CHECK(content.size() <= content_bytes_, content.size(), content_bytes_);
  if (const std::optional<BlockId> above = parent.block()) {
    PLIMSOLL_CHECK(Contains(*above), *above);
    ++states_[IndexOf(*above)];
  }
  keys_[i] = key;
  parents_[i] = parent.value_;
  states_[i] = 1;
  std::memcpy(content_.data() + i * content_bytes_, content.data(), content.size());
  uint32_t& head = heads_[BucketOf(key)];
  next_[i] = std::exchange(head, static_cast<uint32_t>(i) + 1);
  ++size_;
}

std::optional<BlockId> PrefixIndex::Remove(BlockId block) {
  const size_t i = IndexOf(block);
  PLIMSOLL_CHECK(states_[i] == 1, block, states_[i]);
  uint32_t* link = &heads_[BucketOf(keys_[i])];
  while (*link != i + 1) link = &next_[*link - 1];
  *link = next_[i];
  states_[i] = 0;
  --size_;
  const std::optional<BlockId> above = PrefixParent(parents_[i]).block();
  if (above) --states_[IndexOf(*above)];
  return above;
}

std::optional<std::string> PrefixIndex::FindViolation() const {
  std::vector<int32_t> followers(static_cast<size_t>(capacity_), 0);
  int64_t found = 0;
  for (size_t bucket = 0; bucket <= bucket_mask_; ++bucket) {
    for (uint32_t at = heads_[bucket]; at != 0; at = next_[at - 1]) {
      const size_t i = at - 1;
      const std::string name = "block " + std::to_string(i);
      if (states_[i] == 0) return name + " is in the index and is not";
      if (++found > size_) return "the index holds more than " + std::to_string(size_);
      const PrefixParent parent(parents_[i]);
      if (Find(keys_[i], parent, {content_.data() + i * content_bytes_, content_bytes_}) !=
          BlockId(static_cast<int32_t>(i))) {
        return name + " is not the one that is found";
      }
      const std::optional<BlockId> above = parent.block();
      if (above && !Contains(*above)) return name + " follows a block that is not here";
      if (above) ++followers[IndexOf(*above)];
    }
  }
  if (found != size_) return "the index lost " + std::to_string(size_ - found) + " blocks";
  for (size_t i = 0; i < followers.size(); ++i) {
    if (states_[i] != 0 && states_[i] - 1 != followers[i]) {
      return "block " + std::to_string(i) + " has " + std::to_string(followers[i]) + " children";
    }
  }
  return std::nullopt;
}

}  // namespace plimsoll
