#include "kvcache/pool/block_events.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

bool Continues(const StoredBlock& block, const BlockEvent& event) {
  return event.kind == BlockEventKind::kStored && block.parent == event.block_hashes.back() &&
         block.by_hash == event.token_ids.empty();
}

template <class T>
void AppendBytes(std::span<const std::byte> bytes, std::vector<T>& values) {
  const size_t before = values.size();
  values.resize(before + bytes.size() / sizeof(T));
  std::memcpy(values.data() + before, bytes.data(), bytes.size());
}

}  // namespace

void AppendStored(const StoredBlock& block, int64_t number, Tokens block_size,
                  std::vector<BlockEvent>& events) {
  if (events.empty() || !Continues(block, events.back())) {
    events.push_back({.kind = BlockEventKind::kStored,
                      .parent_block_hash = block.parent,
                      .block_size = block_size});
  }
  BlockEvent& event = events.back();
  event.number = number;
  event.block_hashes.push_back(block.key);
  if (block.by_hash) {
    AppendBytes(block.content.first(sizeof(uint64_t)), event.client_hashes);
  } else {
    const auto tokens = static_cast<size_t>(block_size.value());
    AppendBytes(block.content.first(tokens * sizeof(int32_t)), event.token_ids);
  }
}

absl::StatusOr<BlockEvents> BlockEvents::Create(int64_t changes, Tokens block_size) {
  if (changes < 1 || changes > kMost) {
    return BadField("events", changes, "1 to " + std::to_string(kMost));
  }
  const auto count = static_cast<size_t>(changes);
  BlockEvents events;
  events.changes_ = changes;
  events.block_size_ = block_size;
  events.content_bytes_ =
      std::max(static_cast<size_t>(block_size.value()) * sizeof(int32_t), sizeof(uint64_t));
  events.ring_ = ZeroedArray<Change>(count);
  events.content_ = ZeroedArray<std::byte>(count * events.content_bytes_);
  if (events.ring_ && events.content_) return events;
  return absl::ResourceExhaustedError("no memory to keep " + std::to_string(changes) + " events");
}

BlockEvents::Change& BlockEvents::Next(BlockEventKind kind, const PrefixKey& key) {
  Change& change = ring_[PlaceOf(++last_)];
  change = {.key = key, .parent = {}, .kind = kind, .has_parent = false, .by_hash = false};
  return change;
}

void BlockEvents::Stored(const StoredBlock& block) {
  PLIMSOLL_CHECK(block.content.size() <= content_bytes_, block.content.size(), content_bytes_);
  Change& change = Next(BlockEventKind::kStored, block.key);
  change.parent = block.parent.value_or(PrefixKey{});
  change.has_parent = block.parent.has_value();
  change.by_hash = block.by_hash;
  std::memcpy(content_.data() + PlaceOf(last_) * content_bytes_, block.content.data(),
              block.content.size());
}

void BlockEvents::Removed(const PrefixKey& key) { Next(BlockEventKind::kRemoved, key); }

void BlockEvents::Cleared() { Next(BlockEventKind::kCleared, {}); }

std::optional<std::vector<BlockEvent>> BlockEvents::Since(int64_t number, int64_t most) const {
  if (number < 0 || number > last_ || last_ - number > changes_) return std::nullopt;
  std::vector<BlockEvent> events;
  const int64_t end = number + std::min(most, last_ - number);
  for (int64_t i = number + 1; i <= end; ++i) Append(i, events);
  return events;
}

void BlockEvents::Append(int64_t number, std::vector<BlockEvent>& events) const {
  const Change& change = ring_[PlaceOf(number)];
  if (change.kind == BlockEventKind::kStored) {
    const std::span content(content_.data() + PlaceOf(number) * content_bytes_, content_bytes_);
    return AppendStored({.key = change.key,
                         .parent = change.has_parent ? std::optional(change.parent) : std::nullopt,
                         .by_hash = change.by_hash,
                         .content = content},
                        number, block_size_, events);
  }
  const bool joins = change.kind == BlockEventKind::kRemoved && !events.empty() &&
                     events.back().kind == BlockEventKind::kRemoved;
  if (!joins) events.push_back({.kind = change.kind});
  events.back().number = number;
  if (change.kind == BlockEventKind::kRemoved) events.back().block_hashes.push_back(change.key);
}

}  // namespace plimsoll
