// What a pool of slabs takes for models whose groups have blocks of different sizes, beside the
// exact bytes and beside a pool whose blocks all have the size of the largest.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "kvcache/pool/group_cache.h"

namespace plimsoll {
namespace {

constexpr int64_t kBlock = 16;

// Blocks of `layers` with so many bytes per token in each.
LayerGroup Attention(int64_t layers, int64_t bytes, Retention retention = Retention::All()) {
  return {retention, Bytes(layers * bytes * kBlock)};
}
LayerGroup States(int64_t layers, int64_t bytes) {
  return {Retention::State(), Bytes(layers * bytes)};
}

struct Model {
  const char* name;
  std::vector<LayerGroup> groups;
  double padded;  // bytes of padded blocks for a byte of this pool, at least
};

// Layers, and bytes of K and V per token or of a state per sequence, in 16 bits.
std::vector<Model> Models() {
  return {{"gpt-oss-20b: 12 full, 12 with a window of 128; 8 heads of 64",
           {Attention(12, 2048), Attention(12, 2048, Retention::Window(Tokens(128)))},
           0.99},
          {"Jamba 1.5 Mini: 4 full, 8 heads of 128; 28 Mamba",
           {Attention(4, 4096), States(28, 8192 * 16 * 2 + 8192 * 3 * 2)},
           25},
          {"Qwen3-Next: 12 full, 2 heads of 256; 36 gated delta nets",
           {Attention(12, 2048), States(36, 32 * 128 * 128 * 2 + 8192 * 3 * 2)},
           60},
          {"Gemma-3-27b: 10 full, 52 with a window of 1024; 16 heads of 128",
           {Attention(10, 8192), Attention(52, 8192, Retention::Window(Tokens(1024)))},
           3}};
}

struct Use {
  Bytes taken;   // slabs that groups have
  Bytes exact;   // live blocks, each of its own size
  Bytes padded;  // live blocks, all of the largest size
};

Use UseOf(const GroupCache& cache, const Model& model, Bytes slab) {
  Bytes largest;
  for (const LayerGroup& group : model.groups) largest = std::max(largest, group.block_bytes);
  const SlabPool& pool = cache.pool();
  Use use{.taken = (pool.slabs() - pool.free_slabs()) * slab, .exact = {}, .padded = {}};
  for (size_t i = 0; i < model.groups.size(); ++i) {
    use.exact += pool.counts(i).live.value() * model.groups[i].block_bytes;
    use.padded += pool.counts(i).live.value() * largest;
  }
  return use;
}

Bytes SlabBytesOf(const Model& model) {
  std::vector<Bytes> sizes;
  for (const LayerGroup& group : model.groups) sizes.push_back(group.block_bytes);
  return SlabBytesFor(sizes, Bytes(64 << 20));
}

// A sequence of `length` tokens, computed in steps of 512; false without room.
bool Grow(GroupCache& cache, Tokens length) {
  const auto id = cache.Begin(length);
  while (id && cache.Length(*id) < length) {
    cache.Append(*id, std::min(Tokens(512), length - cache.Length(*id)));
  }
  return id.has_value();
}

TEST(GroupBytes, ASlabHasARoundNumberOfBlocksOfEachGroup) {
  const auto best = [](std::vector<Bytes> sizes, int64_t most) {
    return SlabBytesFor(sizes, Bytes(most)).value();
  };
  EXPECT_EQ(best({Bytes(10), Bytes(52)}, 1000), 260) << "26 of one, five of the other";
  EXPECT_EQ(best({Bytes(10), Bytes(52)}, 200), 52) << "five of the first and a rest of 2";
  EXPECT_EQ(best({Bytes(7)}, 1000), 7);
  EXPECT_EQ(best({Bytes(7), Bytes(50)}, 10), 50) << "at least the largest";
}

// Sequences of all lengths until a pool of about 64 GiB is full.
TEST(GroupBytes, NoBlockIsPaddedToTheSizeOfAnother) {
  std::mt19937 random(static_cast<uint32_t>(testing::UnitTest::GetInstance()->random_seed()));
  for (const Model& model : Models()) {
    SCOPED_TRACE(model.name);
    const Bytes slab = SlabBytesOf(model);
    auto cache = GroupCache::Create({.slab_bytes = slab,
                                     .slabs = Bytes(int64_t{64} << 30) / slab,
                                     .step = Tokens(512),
                                     .groups = model.groups});
    ASSERT_TRUE(cache.ok()) << cache.status();
    while (Grow(**cache, Tokens(static_cast<int64_t>(random() % 16384 + 1)))) {
    }
    const Use use = UseOf(**cache, model, slab);
    const auto share = [&](Bytes bytes) {
      return static_cast<double>(bytes.value()) / static_cast<double>(use.taken.value());
    };
    EXPECT_GT(share(use.exact), 0.99);
    EXPECT_GT(share(use.padded), model.padded);
    EXPECT_EQ((*cache)->FindViolation(), std::nullopt);
  }
}

}  // namespace
}  // namespace plimsoll
