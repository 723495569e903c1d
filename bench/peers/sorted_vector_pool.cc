#include "bench/peers/sorted_vector_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace plimsoll::peers {
namespace {

std::vector<BlockId> Sorted(std::span<const BlockId> ids) {
  std::vector<BlockId> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

}  // namespace

SortedVectorPool::SortedVectorPool(int64_t blocks) : kept_at_(static_cast<size_t>(blocks), 0) {
  for (int64_t i = 0; i < blocks; ++i) free_.emplace_back(static_cast<int32_t>(i));
}

void SortedVectorPool::Move(const std::vector<BlockId>& sorted, std::vector<BlockId>& from,
                            std::vector<BlockId>& to) {
  std::vector<BlockId> rest, all;
  rest.reserve(from.size());
  all.reserve(to.size() + sorted.size());
  std::set_difference(from.begin(), from.end(), sorted.begin(), sorted.end(),
                      std::back_inserter(rest));
  std::set_union(to.begin(), to.end(), sorted.begin(), sorted.end(), std::back_inserter(all));
  from = std::move(rest);
  to = std::move(all);
}

bool SortedVectorPool::Acquire(int64_t n, std::vector<BlockId>& out) {
  if (n > free()) return false;
  const std::vector<BlockId> taken(free_.begin(), free_.begin() + n);
  Move(taken, free_, active_);
  out.insert(out.end(), taken.begin(), taken.end());
  return true;
}

void SortedVectorPool::Release(std::span<const BlockId> ids) { Move(Sorted(ids), active_, free_); }

void SortedVectorPool::Keep(std::span<const BlockId> ids) {
  for (const BlockId id : ids) kept_at_[static_cast<size_t>(id.index())] = ++now_;
  Move(Sorted(ids), active_, cached_);
}

void SortedVectorPool::Evict(int64_t n) {
  std::vector<BlockId> ids = cached_;
  n = std::min(n, std::ssize(ids));
  if (n < std::ssize(ids)) {
    std::nth_element(ids.begin(), ids.begin() + n, ids.end(), [&](BlockId a, BlockId b) {
      return kept_at_[static_cast<size_t>(a.index())] < kept_at_[static_cast<size_t>(b.index())];
    });
  }
  Move(Sorted(std::span(ids).first(static_cast<size_t>(n))), cached_, free_);
}

}  // namespace plimsoll::peers
