#include "kvcache/pool/free_bitmap.h"

#include <bit>
#include <vector>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr uint64_t kFull = ~uint64_t{0};

uint64_t BitOf(size_t i) { return uint64_t{1} << (i % 64); }

}  // namespace

FreeBitmap::FreeBitmap(Blocks capacity, Blocks chunk, Blocks most)
    : capacity_(most.value()),
      most_(most.value()),
      chunk_(chunk.value()),
      taken_in_(static_cast<size_t>(CeilDivide(most_, chunk_))) {
  auto words = static_cast<size_t>(most_);
  do {
    words = (words + 63) / 64;
    levels_[level_count_++] = {.words = words, .taken = ZeroedArray<uint64_t>(words)};
  } while (words > 1);
  if (*this) Resize(capacity);
}

FreeBitmap::operator bool() const {
  for (size_t i = 0; i < level_count_; ++i) {
    if (!levels_[i].taken) return false;
  }
  return static_cast<bool>(taken_in_);
}

// Down from the top, always into the first word that is not full.
BlockId FreeBitmap::Lowest() const {
  size_t at = 0;
  for (size_t level = level_count_; level > 0; --level) {
    at = at * 64 + static_cast<size_t>(std::countr_one(levels_[level - 1].taken[at]));
  }
  PLIMSOLL_CHECK(at < static_cast<size_t>(capacity_), at, capacity_);
  return BlockId(static_cast<int32_t>(at));
}

std::optional<BlockId> FreeBitmap::FreeAfter(BlockId block) const {
  const int64_t next = int64_t{block.index()} + 1;
  if (next >= capacity_ || next % chunk_ == 0) return std::nullopt;
  const BlockId after(static_cast<int32_t>(next));
  return IsFree(after) ? std::optional(after) : std::nullopt;
}

void FreeBitmap::Take(BlockId block) {
  ++taken_in_[Index(block) / static_cast<size_t>(chunk_)];
  SetBit(Index(block));
}

void FreeBitmap::Free(BlockId block) {
  --taken_in_[Index(block) / static_cast<size_t>(chunk_)];
  ClearBit(Index(block));
}

void FreeBitmap::Resize(Blocks capacity) {
  const int64_t now = capacity.value();
  PLIMSOLL_CHECK(now >= 1 && now <= most_, now, most_);
  for (int64_t i = now; i < capacity_; ++i) {
    PLIMSOLL_CHECK(IsFree(BlockId(static_cast<int32_t>(i))), i, now);
    SetBit(static_cast<size_t>(i));
  }
  for (int64_t i = capacity_; i < now; ++i) ClearBit(static_cast<size_t>(i));
  capacity_ = now;
}

void FreeBitmap::SetBit(size_t i) {
  for (size_t level = 0; level < level_count_; ++level, i /= 64) {
    uint64_t& word = levels_[level].taken[i / 64];
    word |= BitOf(i);
    if (word != kFull) return;
  }
}

void FreeBitmap::ClearBit(size_t i) {
  for (size_t level = 0; level < level_count_; ++level, i /= 64) {
    uint64_t& word = levels_[level].taken[i / 64];
    const bool was_full = word == kFull;
    word &= ~BitOf(i);
    if (!was_full) return;
  }
}

int64_t FreeBitmap::FreeChunksAtEnd() const {
  const int64_t chunks = CeilDivide(capacity_, chunk_);
  int64_t free = 0;
  while (free < chunks && taken_in_[static_cast<size_t>(chunks - 1 - free)] == 0) ++free;
  return free;
}

std::optional<std::string> FreeBitmap::FindViolation() const {
  for (size_t level = 1; level < level_count_; ++level) {
    for (size_t i = 0; i < levels_[level - 1].words; ++i) {
      const bool full = levels_[level - 1].taken[i] == kFull;
      if (full == ((levels_[level].taken[i / 64] & BitOf(i)) != 0)) continue;
      return "word " + std::to_string(i) + " of level " + std::to_string(level - 1) +
             (full ? " is full and not said to be" : " is said to be full and is not");
    }
  }
  for (int64_t i = capacity_; i < most_; ++i) {
    if (IsFree(BlockId(static_cast<int32_t>(i))))
      return "block " + std::to_string(i) + " is free and not there";
  }
  std::vector<int32_t> taken(static_cast<size_t>(CeilDivide(most_, chunk_)), 0);
  for (int64_t i = 0; i < capacity_; ++i) {
    taken[static_cast<size_t>(i / chunk_)] += IsFree(BlockId(static_cast<int32_t>(i))) ? 0 : 1;
  }
  for (size_t i = 0; i < taken.size(); ++i) {
    if (taken[i] == taken_in_[i]) continue;
    return "chunk " + std::to_string(i) + " has " + std::to_string(taken[i]) +
           " taken blocks, not " + std::to_string(taken_in_[i]);
  }
  return std::nullopt;
}

}  // namespace plimsoll
