#include "kvcache/pool/block_pool.h"

#include <limits>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<BlockPool> BlockPool::Create(Blocks capacity) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (capacity < Blocks(1) || capacity > Blocks(kMost)) {
    return BadField("blocks", capacity.value(), "1 to " + std::to_string(kMost));
  }
  const size_t count = static_cast<size_t>(capacity.value());
  // calloc and not a vector: the system hands out zero pages as they are touched.
  Array references(static_cast<int32_t*>(std::calloc(count, sizeof(int32_t))));
  Array next_free(static_cast<int32_t*>(std::calloc(count, sizeof(int32_t))));
  if (!references || !next_free) {
    return absl::ResourceExhaustedError("no memory to count " + std::to_string(count) + " blocks");
  }
  return BlockPool(static_cast<int32_t>(capacity.value()), std::move(references),
                   std::move(next_free));
}

BlockPool::BlockPool(int32_t capacity, Array references, Array next_free)
    : capacity_(capacity),
      free_(capacity),
      references_(std::move(references)),
      next_free_(std::move(next_free)) {}

std::optional<BlockId> BlockPool::TryAcquire() {
  if (free_ == 0) return std::nullopt;
  return TakeOne();
}

bool BlockPool::TryAcquire(Blocks n, std::vector<BlockId>& out) {
  if (n > free()) return false;
  for (int64_t i = 0; i < n.value(); ++i) out.push_back(TakeOne());
  return true;
}

// A free block exists: a released one if there is any, else the next that was never taken.
BlockId BlockPool::TakeOne() {
  const bool reuse = first_free_ != kNone;
  const int32_t taken = reuse ? first_free_ : untouched_;
  const auto index = static_cast<size_t>(taken);
  PLIMSOLL_CHECK(taken < capacity_ && references_[index] == 0, taken, references_[index],
                 capacity_);
  if (reuse) {
    first_free_ = next_free_[index];
  } else {
    ++untouched_;
  }
  references_[index] = 1;
  --free_;
  return BlockId(taken);
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

void BlockPool::Release(BlockId id) {
  const size_t index = IndexOf(id);
  PLIMSOLL_CHECK(references_[index] > 0, id);
  if (--references_[index] > 0) return;
  next_free_[index] = first_free_;
  first_free_ = id.index();
  ++free_;
}

void BlockPool::Release(std::span<const BlockId> ids) {
  for (const BlockId id : ids) Release(id);
}

int32_t BlockPool::References(BlockId id) const { return references_[IndexOf(id)]; }

std::optional<std::string> BlockPool::FindViolation() const {
  int64_t listed = 0;
  for (int32_t i = first_free_; i != kNone; i = next_free_[static_cast<size_t>(i)]) {
    if (i < 0 || i >= untouched_) return "free list names block " + std::to_string(i);
    if (references_[static_cast<size_t>(i)] != 0) {
      return "block " + std::to_string(i) + " is on the free list and held";
    }
    if (++listed > untouched_) return std::string("free list is a circle");
  }
  int64_t held = 0;
  for (int32_t i = 0; i < untouched_; ++i) held += references_[static_cast<size_t>(i)] > 0 ? 1 : 0;
  if (held + listed != untouched_) {
    return std::to_string(untouched_ - held - listed) + " blocks are neither held nor free";
  }
  if (listed + capacity_ - untouched_ != free_) {
    return "counted " + std::to_string(free_) + " free blocks, found " +
           std::to_string(listed + capacity_ - untouched_);
  }
  return std::nullopt;
}

}  // namespace plimsoll
