// A block pool in the manner of classic TurboMind: the ids of active, cached and free blocks are in
// three sorted vectors, and every call moves ids from one to another by set operations.
//
// Threads: none. Cost: O(blocks of the pool) per call, however few it names. Errors: too few blocks
// is false; misuse is not looked for.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvcache/base/ids.h"

namespace plimsoll::peers {

class SortedVectorPool {
 public:
  explicit SortedVectorPool(int64_t blocks);

  // The lowest free ids.
  bool Acquire(int64_t n, std::vector<BlockId>& out);
  // Held no longer, and free.
  void Release(std::span<const BlockId> ids);
  // Held no longer, and cached: free again only after an eviction.
  void Keep(std::span<const BlockId> ids);
  // The `n` cached blocks that were kept longest ago are free.
  void Evict(int64_t n);

  int64_t free() const { return std::ssize(free_); }

 private:
  static void Move(const std::vector<BlockId>& sorted, std::vector<BlockId>& from,
                   std::vector<BlockId>& to);

  std::vector<BlockId> active_, cached_, free_;
  std::vector<int64_t> kept_at_;  // by block
  int64_t now_ = 0;
};

}  // namespace plimsoll::peers
