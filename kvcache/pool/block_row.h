// What the parts of a cache keep of a block where blocks can be found: together, since a block that
// is evicted, found or let go is looked at by all of them.
#pragma once

#include <cstdint>
#include <memory>

#include "kvcache/pool/block_list.h"
#include "kvcache/pool/prefix_index.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

struct BlockRow {
  PrefixIndex::Entry entry;
  BlockLinks::Links links;  // of the eviction policy's lists
  int32_t references;       // the pool's
  uint32_t kept_at;         // for a policy that goes by time
};
static_assert(sizeof(BlockRow) == 48, "three quarters of a cache line");

using BlockRows = std::shared_ptr<ZeroedArray<BlockRow>>;

}  // namespace plimsoll
