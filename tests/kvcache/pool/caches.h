// Caches and their counts, as the tests of the pool write them.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "kvcache/pool/kv_cache.h"

namespace plimsoll {

inline std::unique_ptr<KvCache> CacheWith(int64_t blocks, Eviction eviction, Tokens block_tokens) {
  auto cache = KvCache::Create(
      {.capacity = Blocks(blocks), .block_tokens = block_tokens, .eviction = eviction});
  EXPECT_TRUE(cache.ok()) << cache.status();
  return *std::move(cache);
}

inline BlockCounts CountsOf(int64_t total, int64_t live, int64_t cached, int64_t reserved) {
  return {.total = Blocks(total),
          .live = Blocks(live),
          .cached = Blocks(cached),
          .reserved = Blocks(reserved),
          .free = Blocks(total - live - cached - reserved)};
}

}  // namespace plimsoll
