#include "kvcache/pool/prefix_index.h"

#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<PrefixIndex> PrefixIndex::Create(Blocks capacity, size_t content_bytes) {
  return Create(capacity, content_bytes, BlockColumn<Entry>(FieldsFor(capacity)));
}

absl::StatusOr<PrefixIndex> PrefixIndex::Create(Blocks capacity, size_t content_bytes,
                                                BlockColumn<Entry> entries) {
  if (FieldsFor(capacity) == 0) {
    return BadField("blocks", capacity.value(), "1 to " + std::to_string(kMostBlockIds));
  }
  const size_t count = FieldsFor(capacity);
  PrefixIndex index(std::move(entries));
  index.capacity_ = static_cast<int32_t>(capacity.value());
  index.content_bytes_ = content_bytes;
  index.heads_ = ZeroedArray<uint32_t>(count);
  index.content_ = ZeroedArray<std::byte>(count * content_bytes);
  if (index.heads_ && index.entries_ && index.content_) return index;
  return absl::ResourceExhaustedError("no memory to index " + std::to_string(count) + " blocks");
}

std::optional<BlockId> PrefixIndex::Find(const PrefixKey& key, PrefixParent parent,
                                         std::span<const std::byte> content) const {
  PLIMSOLL_CHECK(content.size() <= content_bytes_, content.size(), content_bytes_);
  for (uint32_t at = heads_[BucketOf(key)]; at != 0; at = entries_[at - 1].next) {
    const size_t i = at - 1;
    const Entry& entry = entries_[i];
    if (entry.key != key || entry.parent != parent.value_) continue;
    if (std::memcmp(ContentAt(i), content.data(), content.size()) == 0) {
      return BlockId(static_cast<int32_t>(i));
    }
  }
  return std::nullopt;
}

void PrefixIndex::Prefetch(std::span<const PrefixKey> keys) const {
  for (const PrefixKey& key : keys) {
    const uint32_t head = heads_[BucketOf(key)];
    if (head == 0) return;  // nothing after it is found either
    __builtin_prefetch(&entries_[head - 1]);
    __builtin_prefetch(ContentAt(head - 1));
  }
}

void PrefixIndex::PrefetchAdd(std::span<const PrefixKey> keys,
                              std::span<const BlockId> blocks) const {
  for (const PrefixKey& key : keys) PrefetchEntry(heads_[BucketOf(key)]);
  for (const BlockId block : blocks) {
    const size_t i = IndexOf(block);
    __builtin_prefetch(&entries_[i]);
    __builtin_prefetch(ContentAt(i));
  }
}

void PrefixIndex::Add(BlockId block, const PrefixKey& key, PrefixParent parent,
                      std::span<const std::byte> content) {
  const size_t i = IndexOf(block);
  Entry& entry = entries_[i];
  PLIMSOLL_CHECK(entry.state == 0, block);
  PLIMSOLL_CHECK(content.size() <= content_bytes_, content.size(), content_bytes_);
  if (!parent.is_root()) {
    PLIMSOLL_CHECK(Contains(parent.id()), parent.id());
    ++At(parent.id()).state;
  }
  // Behind the others, so that the oldest, which are mostly the first to go, are found at once.
  uint32_t* end = &heads_[BucketOf(key)];
  while (*end != 0) end = &entries_[*end - 1].next;
  *end = static_cast<uint32_t>(i) + 1;
  entry = {.key = key, .next = 0, .parent = parent.value_, .state = 1, .let_go_after = 0};
  std::memcpy(content_.data() + i * content_bytes_, content.data(), content.size());
  ++size_;
}

PrefixParent PrefixIndex::Remove(BlockId block) {
  const size_t i = IndexOf(block);
  Entry& entry = entries_[i];
  PLIMSOLL_CHECK(entry.state == 1, block, entry.state);
  uint32_t* link = &heads_[BucketOf(entry.key)];
  while (*link != i + 1) link = &entries_[*link - 1].next;
  *link = entry.next;
  entry.state = 0;
  --size_;
  const PrefixParent parent(entry.parent);
  if (!parent.is_root()) --At(parent.id()).state;
  return parent;
}

void PrefixIndex::MoveEntry(size_t from, size_t to) {
  Entry& entry = entries_[from];
  PLIMSOLL_CHECK(entries_[to].state == 0, from, to);
  uint32_t* link = &heads_[BucketOf(entry.key)];
  while (*link != from + 1) link = &entries_[*link - 1].next;
  *link = static_cast<uint32_t>(to) + 1;
  entries_[to] = entry;
  std::memcpy(content_.data() + to * content_bytes_, ContentAt(from), content_bytes_);
  entry.state = 0;
}

// Nothing says what follows a block, so all are asked what they follow.
void PrefixIndex::Move(std::span<const BlockMove> moves, Blocks total) {
  std::unordered_map<int32_t, int32_t> moved;
  for (const auto& [from, to] : moves) {
    if (!Contains(from)) continue;
    MoveEntry(IndexOf(from), IndexOf(to));
    moved.emplace(from.index(), to.index());
  }
  if (moved.empty()) return;
  for (size_t i = 0; i < static_cast<size_t>(total.value()); ++i) {
    Entry& entry = entries_[i];
    const auto its = entry.state == 0 ? moved.end() : moved.find(entry.parent);
    if (its != moved.end()) entry.parent = its->second;
  }
}

void PrefixIndex::LetGo(BlockId block) {
  const auto stored = static_cast<uint32_t>(IndexOf(block)) + 1;
  const uint32_t earlier = std::exchange(let_go_[let_go_count_++ % kAhead], stored);
  if (earlier != 0) entries_[earlier - 1].let_go_after = stored;
}

// Only the entry knows where its bucket is, only that which block is first in it, and only the
// first which is second: so they are fetched in four steps, some calls apart.
void PrefixIndex::PrefetchRemove(BlockId block) {
  const size_t i = IndexOf(block);
  __builtin_prefetch(&entries_[i]);
  if (const uint32_t at = Soon(1)) Prefetch(entries_[at - 1].key);
  if (const uint32_t at = Soon(2)) PrefetchEntry(HeadOf(at));
  if (const uint32_t at = Soon(3)) {
    const uint32_t head = HeadOf(at);
    if (head != 0 && head != at) PrefetchEntry(entries_[head - 1].next);
  }
  soon_[soon_count_++ % soon_.size()] = static_cast<uint32_t>(i) + 1;
}

std::optional<std::string> PrefixIndex::FindViolation() const {
  std::vector<int32_t> followers(static_cast<size_t>(capacity_), 0);
  int64_t found = 0;
  for (int32_t bucket = 0; bucket < capacity_; ++bucket) {
    for (uint32_t at = heads_[static_cast<size_t>(bucket)]; at != 0; at = entries_[at - 1].next) {
      const size_t i = at - 1;
      const Entry& entry = entries_[i];
      const std::string name = "block " + std::to_string(i);
      if (entry.state == 0) return name + " is in the index and is not";
      if (++found > size_) return "the index holds more than " + std::to_string(size_);
      const PrefixParent parent(entry.parent);
      if (Find(entry.key, parent, {ContentAt(i), content_bytes_}) !=
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
    const int32_t state = entries_[i].state;
    if (state != 0 && state - 1 != followers[i]) {
      return "block " + std::to_string(i) + " has " + std::to_string(followers[i]) + " children";
    }
  }
  return std::nullopt;
}

}  // namespace plimsoll
