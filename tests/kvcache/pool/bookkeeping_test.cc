// What it costs to keep track of a block, all structures of the cache included.
#include <gmock/gmock.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "kvcache/pool/group_cache.h"
#include "kvcache/pool/kv_cache.h"

namespace plimsoll {
namespace {

constexpr Tokens kBlockTokens(16);
constexpr int64_t kTokenBytes = 16 * 4;  // kept to verify what is found: no bookkeeping

// Of malloc, and of the system without it.
int64_t Allocated() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;  // of addresses, touched or not
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks - info.arena) + pages * getpagesize();
}

bool AllocatorTells() {
  const int64_t before = Allocated();
  const std::vector<char> memory(1 << 20);
  return Allocated() - before >= std::ssize(memory);
}

// Of a cache and of the block table of one sequence that may take all of it.
int64_t BytesOf(Eviction eviction, int64_t blocks) {
  const int64_t before = Allocated();
  const auto cache = KvCache::Create(
      {.capacity = Blocks(blocks), .block_tokens = kBlockTokens, .eviction = eviction});
  EXPECT_TRUE(cache.ok() && (*cache)->Promise(Blocks(blocks)));
  const SequenceId id = (*cache)->Begin(Blocks(blocks));
  EXPECT_EQ((*cache)->PromiseLeft(id), Blocks(blocks));
  return Allocated() - before - (eviction == Eviction::kOff ? 0 : blocks * kTokenBytes);
}

// What does not grow with the pool, as what the learned policy has learned, is apart.
TEST(Bookkeeping, TakesAtMost64BytesPerBlock) {
  if (!AllocatorTells()) GTEST_SKIP() << "this allocator does not say what is allocated";
  constexpr int64_t kBlocks = 1'000'000;
  constexpr int64_t kRounding = 64 * 1024;  // of allocations to pages
  for (const Eviction eviction :
       {Eviction::kOff, Eviction::kFifo, Eviction::kLru, Eviction::kLearned}) {
    const int64_t fixed = BytesOf(eviction, 1);
    const int64_t grown = BytesOf(eviction, kBlocks) - fixed;
    EXPECT_GE(grown, 12 * kBlocks) << "this test counts too little";
    EXPECT_LE(grown, 64 * kBlocks + kRounding) << NameOf(eviction);
    EXPECT_LE(fixed, eviction == Eviction::kLearned ? 2 << 20 : 4096) << NameOf(eviction);
    RecordProperty(std::string(NameOf(eviction)), std::to_string(grown / kBlocks));
    std::printf("%s: %.2f bytes per block, %.0f KiB whatever the size\n",
                std::string(NameOf(eviction)).c_str(),
                static_cast<double>(grown) / static_cast<double>(kBlocks),
                static_cast<double>(fixed) / 1024);
  }
}

// Of a cache of groups of equal blocks, 64 in a slab, as many of each.
int64_t BytesOf(int64_t slabs, std::vector<LayerGroup> groups) {
  const int64_t before = Allocated();
  const auto cache = GroupCache::Create({.slab_bytes = Bytes(64 * 8),
                                         .slabs = slabs,
                                         .block_tokens = kBlockTokens,
                                         .groups = std::move(groups),
                                         .sharing = GroupSharing{.nodes = slabs * 64}});
  EXPECT_TRUE(cache.ok());
  return Allocated() - before - slabs * 64 * kTokenBytes;
}

// A block, which any group may have, and a node for each of so many as could all be on one path.
TEST(Bookkeeping, GroupsTakeAtMost64BytesPerBlock) {
  if (!AllocatorTells()) GTEST_SKIP() << "this allocator does not say what is allocated";
  const LayerGroup all{Retention::All(), Bytes(8)};
  const LayerGroup window{Retention::Window(Tokens(512)), Bytes(8)};
  for (const std::vector<LayerGroup>& groups : {std::vector{all}, {all, window}}) {
    constexpr int64_t kSlabs = 10'000;
    const int64_t grown = BytesOf(kSlabs, groups) - BytesOf(1, groups);
    EXPECT_LE(grown, 64 * kSlabs * 64);
    std::printf("%zu groups: %.2f bytes per block\n", groups.size(),
                static_cast<double>(grown) / static_cast<double>(kSlabs * 64));
  }
}

}  // namespace
}  // namespace plimsoll
