#include "kvcache/pool/block_pool.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<BlockPool> BlockPool::Create(Blocks capacity, Blocks chunk, Blocks most) {
  return Create(capacity, chunk, most, BlockColumn<int32_t>(FieldsFor(std::max(most, capacity))));
}

absl::StatusOr<BlockPool> BlockPool::Create(Blocks capacity, Blocks chunk, Blocks most,
                                            BlockColumn<int32_t> references) {
  most = std::max(most, capacity);
  const size_t count = FieldsFor(most);
  if (capacity < Blocks(1) || count == 0) {
    return BadField("blocks", (capacity < Blocks(1) ? capacity : most).value(),
                    "1 to " + std::to_string(kMostBlockIds));
  }
  BlockPool pool(capacity.value(), std::move(references), most.value());
  if (chunk == Blocks(0)) {
    pool.released_ = ZeroedArray<BlockId>(count);
  } else {
    pool.bitmap_.emplace(capacity, chunk, most);
    pool.untouched_ = pool.released_count_ = capacity.value();
  }
  if (pool.references_ && pool.HasOrder()) return pool;
  return absl::ResourceExhaustedError("no memory to count " + std::to_string(count) + " blocks");
}

bool BlockPool::HasOrder() const {
  return bitmap_ ? static_cast<bool>(*bitmap_) : static_cast<bool>(released_);
}

BlockPool::BlockPool(int64_t capacity, BlockColumn<int32_t> references, int64_t most)
    : capacity_(capacity), most_(most), references_(std::move(references)) {}

std::optional<BlockId> BlockPool::TryAcquire() {
  if (free() == Blocks(0)) return std::nullopt;
  if (bitmap_) return TakenLowest(bitmap_->Lowest());
  if (released_count_ == 0) return Taken(NextUntouched());
  return Taken(released_[static_cast<size_t>(--released_count_)]);
}

bool BlockPool::TryAcquire(Blocks n, std::vector<BlockId>& out) {
  if (n > free()) return false;
  if (bitmap_) {
    AcquireLowest(n, out);
    return true;
  }
  const int64_t again = std::min(n.value(), released_count_);
  for (int64_t i = 1; i <= again; ++i) {
    out.push_back(Taken(released_[static_cast<size_t>(released_count_ - i)]));
  }
  released_count_ -= again;
  for (int64_t i = again; i < n.value(); ++i) out.push_back(Taken(NextUntouched()));
  return true;
}

void BlockPool::AcquireLowest(Blocks n, std::vector<BlockId>& out) {
  for (int64_t i = 0; i < n.value(); ++i) {
    const std::optional<BlockId> after =
        out.empty() ? std::nullopt : bitmap_->FreeAfter(out.back());
    out.push_back(TakenLowest(after ? *after : bitmap_->Lowest()));
  }
}

BlockId BlockPool::TakenLowest(BlockId id) {
  bitmap_->Take(id);
  --released_count_;
  return Taken(id);
}

BlockId BlockPool::NextUntouched() { return BlockId(static_cast<int32_t>(untouched_++)); }

BlockId BlockPool::Taken(BlockId id) {
  int32_t& references = references_[IndexOf(id)];
  PLIMSOLL_CHECK(references == 0, id, references);
  references = 1;
  return id;
}

size_t BlockPool::IndexOf(BlockId id) const {
  PLIMSOLL_CHECK(id.index() < capacity_, id, capacity_);
  return static_cast<size_t>(id.index());
}

void BlockPool::Share(BlockId id) {
  int32_t& references = references_[IndexOf(id)];
  PLIMSOLL_CHECK(references > 0, id);
  PLIMSOLL_CHECK(references < std::numeric_limits<int32_t>::max(), id);
  ++references;
}

void BlockPool::Release(BlockId id) { Release(std::span(&id, 1)); }

// Writes each block on top of the released ones, and leaves it there if nobody holds it: there is
// room while anything is held, and no branch to guess wrong.
void BlockPool::Release(std::span<const BlockId> ids) {
  if (bitmap_) return ReleaseToBitmap(ids);
  int64_t count = released_count_;
  for (const BlockId id : ids) {
    int32_t& references = references_[IndexOf(id)];
    PLIMSOLL_CHECK(references > 0, id);
    released_[static_cast<size_t>(count)] = id;
    count += --references == 0 ? 1 : 0;
  }
  released_count_ = count;
}

void BlockPool::ReleaseToBitmap(std::span<const BlockId> ids) {
  for (const BlockId id : ids) {
    int32_t& references = references_[IndexOf(id)];
    PLIMSOLL_CHECK(references > 0, id);
    if (--references > 0) continue;
    bitmap_->Free(id);
    ++released_count_;
  }
}

void BlockPool::MoveReferences(std::span<const BlockMove> moves) {
  for (const auto& [from, to] : moves) {
    int32_t& there = references_[IndexOf(to)];
    int32_t& here = references_[IndexOf(from)];
    PLIMSOLL_CHECK(here > 0 && there == 0, from, to, here, there);
    there = std::exchange(here, 0);
    if (!bitmap_) continue;
    bitmap_->Take(to);
    bitmap_->Free(from);
  }
}

// Blocks that were released are listed anew, the lowest last and so the first to be taken.
void BlockPool::Resize(Blocks capacity, std::span<const BlockMove> moves) {
  const int64_t now = capacity.value();
  PLIMSOLL_CHECK(now >= 1 && now <= most_, now, most_);
  MoveReferences(moves);
  if (bitmap_) {
    bitmap_->Resize(capacity);
    released_count_ += now - capacity_;
    capacity_ = untouched_ = now;
    return;
  }
  for (int64_t i = now; i < untouched_; ++i) {
    PLIMSOLL_CHECK(references_[static_cast<size_t>(i)] == 0, i, now);
  }
  capacity_ = now;
  untouched_ = std::min(untouched_, now);
  released_count_ = 0;
  for (int64_t i = untouched_ - 1; i >= 0; --i) {
    if (references_[static_cast<size_t>(i)] != 0) continue;
    released_[static_cast<size_t>(released_count_++)] = BlockId(static_cast<int32_t>(i));
  }
}

std::optional<int64_t> BlockPool::FreeChunksAtEnd() const {
  return bitmap_ ? std::optional(bitmap_->FreeChunksAtEnd()) : std::nullopt;
}

int32_t BlockPool::References(BlockId id) const { return references_[IndexOf(id)]; }

std::optional<std::string> BlockPool::FindWrongBit() const {
  for (int32_t i = 0; i < capacity_; ++i) {
    if (bitmap_->IsFree(BlockId(i)) == (references_[static_cast<size_t>(i)] == 0)) continue;
    return "block " + std::to_string(i) + " is free and held, or neither";
  }
  return bitmap_->FindViolation();
}

std::optional<std::string> BlockPool::FindWrongReleased() const {
  std::vector<bool> released(static_cast<size_t>(untouched_), false);
  for (int64_t i = 0; i < released_count_; ++i) {
    const int32_t block = released_[static_cast<size_t>(i)].index();
    const auto at = static_cast<size_t>(block);
    const std::string name = "block " + std::to_string(block);
    if (block < 0 || block >= untouched_) return name + " is free and was never taken";
    if (references_[at] != 0) return name + " is free and held";
    if (released[at]) return name + " is free twice";
    released[at] = true;
  }
  return std::nullopt;
}

std::optional<std::string> BlockPool::FindViolation() const {
  if (auto wrong = bitmap_ ? FindWrongBit() : FindWrongReleased()) return wrong;
  int64_t held = 0;
  for (int64_t i = 0; i < untouched_; ++i) held += references_[static_cast<size_t>(i)] > 0 ? 1 : 0;
  if (held == used().value()) return std::nullopt;
  return std::to_string(used().value() - held) + " blocks are neither held nor free";
}

}  // namespace plimsoll
