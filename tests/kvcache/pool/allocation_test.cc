// The block pool and the prefix cache allocate nothing once they are made, and a sequence nothing
// within its promise. Counts every `new` of this program.
#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <random>
#include <vector>

#include "kvcache/pool/eviction.h"
#include "kvcache/pool/group_cache.h"
#include "kvcache/pool/kv_cache.h"
#include "kvcache/pool/prefix_index.h"

namespace {

std::atomic<int64_t> allocations = 0;

}  // namespace

void* operator new(size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace plimsoll {
namespace {

constexpr int64_t kBlocks = 1000;

// Fills the index and the policy again and again, each block after another one or after the root.
void Churn(PrefixIndex& index, EvictionPolicy& policy, std::mt19937& random) {
  const PrefixHasher hasher(1);
  PrefixKey key = hasher.Root("", false);
  PrefixParent parent = PrefixParent::Root(key);
  for (int32_t i = 0; i < kBlocks; ++i) {
    policy.BeginRequest();
    const int64_t content = static_cast<int64_t>(random());
    const auto bytes = std::as_bytes(std::span(&content, 1));
    key = hasher.Next(key, bytes);
    policy.Asked({&key, 1});
    index.Add(BlockId(i), key, parent, bytes);
    policy.Stored(BlockId(i));
    policy.Keep(BlockId(i), key, {.tag = policy.Found({}, 1 + i % 100)});
    if (i % 10 != 0) parent = PrefixParent(BlockId(i));
  }
  while (index.size() > Blocks(0)) {
    const BlockId victim = policy.Next();
    if (index.children(victim) > 0) {
      policy.SetAside(victim);
      continue;
    }
    policy.Removed(victim);
    const std::optional<BlockId> above = index.Remove(victim).block();
    if (above && index.children(*above) == 0) policy.BringBack(*above);
  }
}

TEST(Allocations, NothingIsAllocatedAfterCreation) {
  for (const Eviction eviction : {Eviction::kFifo, Eviction::kLru, Eviction::kLearned}) {
    auto index = PrefixIndex::Create(Blocks(kBlocks), sizeof(int64_t));
    auto policy = CreateEvictionPolicy(eviction, Blocks(kBlocks), Tokens(16));
    ASSERT_TRUE(index.ok() && policy.ok());
    std::mt19937 random(1);
    const int64_t before = allocations;
    EXPECT_GT(before, 0) << "this test counts nothing";
    for (int round = 0; round < 5; ++round) Churn(*index, **policy, random);
    EXPECT_EQ(allocations, before) << NameOf(eviction);
  }
}

TEST(Allocations, ABlockPoolAllocatesNothing) {
  for (const Blocks chunk : {Blocks(0), Blocks(64)}) {
    auto pool = BlockPool::Create(Blocks(kBlocks), chunk);
    ASSERT_TRUE(pool.ok());
    std::vector<BlockId> taken;
    taken.reserve(kBlocks);
    const int64_t before = allocations;
    for (int round = 0; round < 5; ++round) {
      ASSERT_TRUE(pool->TryAcquire(Blocks(kBlocks), taken));
      pool->Release(taken);
      taken.clear();
    }
    EXPECT_EQ(allocations, before);
  }
}

TEST(Allocations, ASequenceGrowsToItsPromiseWithoutAny) {
  auto cache = KvCache::Create({.capacity = Blocks(kBlocks)});
  ASSERT_TRUE(cache.ok() && (*cache)->Promise(Blocks(100)));
  const SequenceId id = (*cache)->Begin(Blocks(100));
  const int64_t before = allocations;
  for (int token = 0; token < 1600; ++token) {
    (*cache)->Commit(*(*cache)->PlanAppend(id, Tokens(1)));
  }
  EXPECT_EQ(allocations, before);
}

// It names what it computes, and evicts what another left behind.
TEST(Allocations, ASequenceOfSeveralGroupsGrowsWithoutAny) {
  auto cache = GroupCache::Create({.slab_bytes = Bytes(1000),
                                   .slabs = 40,
                                   .groups = {{Retention::All(), Bytes(100)},
                                              {Retention::Window(Tokens(64)), Bytes(300)},
                                              {Retention::State(), Bytes(500)}},
                                   .sharing = GroupSharing{}});
  ASSERT_TRUE(cache.ok());
  std::vector<int32_t> tokens(1600);
  for (int round = 0; round < 2; ++round) {
    for (int32_t& token : tokens) ++token;
    const SequenceId id = (*cache)->BeginWith({}, Tokens(1600))->id;
    const int64_t before = allocations;
    for (size_t block = 0; block < 100; ++block) {
      for (int token = 0; token < 16; ++token) (*cache)->Append(id, Tokens(1));
      const auto its_tokens = std::span(tokens).subspan(16 * block, 16);
      (*cache)->Name(id, BlockNames::OfTokens(its_tokens, Tokens(16)));
    }
    EXPECT_EQ(allocations, before);
    (*cache)->End(id);
  }
  EXPECT_GT((*cache)->pool().counts(1).cached, Blocks(0));
}

}  // namespace
}  // namespace plimsoll
