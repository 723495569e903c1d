// Keys, and the tree of prefixes that they lead into.
#include "kvcache/pool/prefix_index.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "kvcache/pool/block_names.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

PrefixIndex IndexOf(int64_t blocks) {
  absl::StatusOr<PrefixIndex> index = PrefixIndex::Create(Blocks(blocks), 8);
  EXPECT_TRUE(index.ok()) << index.status();
  return *std::move(index);
}

TEST(PrefixHasher, KeysDependOnSeedSaltKindAndAllThatComesBefore) {
  const PrefixHasher hasher(1);
  const PrefixKey root = hasher.Root("a", false);
  const PrefixKey one = hasher.Next(root, BytesOf("1"));
  EXPECT_EQ(one, PrefixHasher(1).Next(PrefixHasher(1).Root("a", false), BytesOf("1")));
  EXPECT_NE(one, PrefixHasher(2).Next(PrefixHasher(2).Root("a", false), BytesOf("1")));
  EXPECT_NE(root, hasher.Root("b", false));
  EXPECT_NE(root, hasher.Root("a", true));
  EXPECT_NE(root, hasher.Root("", false));
  EXPECT_NE(one, hasher.Next(hasher.Root("b", false), BytesOf("1")));
  EXPECT_NE(hasher.Next(one, BytesOf("1")), one);
}

TEST(PrefixHasher, FewKeysOfManyChainsAreAlike) {
  const PrefixHasher hasher(7);
  std::set<std::pair<uint64_t, uint64_t>> keys;
  for (int chain = 0; chain < 100; ++chain) {
    PrefixKey key = hasher.Root(std::to_string(chain), false);
    for (int i = 0; i < 100; ++i) {
      key = hasher.Next(key, BytesOf("same"));
      EXPECT_TRUE(keys.insert({key.low, key.high}).second);
    }
  }
}

TEST(BlockNames, AreOfFullBlocksOnly) {
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5};
  const BlockNames names = BlockNames::OfTokens(tokens, Tokens(2));
  EXPECT_EQ(names.size(), 2);
  EXPECT_FALSE(names.by_hash());
  EXPECT_EQ(names[1].size(), 2 * sizeof(int32_t));
  EXPECT_EQ(names[1].data(), std::as_bytes(std::span(tokens)).data() + 8);
  EXPECT_EQ(names.Subrange(1, 1)[0].data(), names[1].data());
  EXPECT_EQ(BlockNames().size(), 0);
  EXPECT_EQ(BlockNames::OfHashes(std::vector<uint64_t>{7, 8, 9}).size(), 3);
}

TEST(PrefixIndex, FindsABlockByKeyParentAndContent) {
  PrefixIndex index = IndexOf(8);
  const PrefixKey key{1, 2};
  const PrefixParent root = PrefixParent::Root({0, ~uint64_t{0}});
  EXPECT_EQ(index.Find(key, root, BytesOf("aa")), std::nullopt);
  index.Add(BlockId(3), key, root, BytesOf("aa"));
  EXPECT_EQ(index.Find(key, root, BytesOf("aa")), BlockId(3));
  EXPECT_EQ(index.KeyOf(BlockId(3)), key);
  EXPECT_EQ(index.size(), Blocks(1));
}

// The keys are all alike, as if an attacker had found how to make them so.
TEST(PrefixIndex, ACollisionOfKeysNeverServesAnothersBlock) {
  PrefixIndex index = IndexOf(8);
  const PrefixKey key{1, 2};
  const PrefixParent mine = PrefixParent::Root({0, uint64_t{1} << 40});
  const PrefixParent theirs = PrefixParent::Root({0, uint64_t{2} << 40});
  index.Add(BlockId(0), key, mine, BytesOf("aa"));
  EXPECT_EQ(index.Find(key, mine, BytesOf("ab")), std::nullopt) << "other tokens";
  EXPECT_EQ(index.Find(key, theirs, BytesOf("aa")), std::nullopt) << "another salt";
  EXPECT_EQ(index.Find({1, 3}, mine, BytesOf("aa")), std::nullopt) << "another key, one bucket";
  index.Add(BlockId(1), key, theirs, BytesOf("aa"));
  index.Add(BlockId(2), key, PrefixParent(BlockId(0)), BytesOf("cc"));
  EXPECT_EQ(index.Find(key, PrefixParent(BlockId(0)), BytesOf("cc")), BlockId(2));
  EXPECT_EQ(index.Find(key, PrefixParent(BlockId(1)), BytesOf("cc")), std::nullopt)
      << "the same block after another prefix";
}

TEST(PrefixIndex, ABlockCountsThoseThatFollowIt) {
  PrefixIndex index = IndexOf(8);
  const PrefixParent root = PrefixParent::Root({});
  index.Add(BlockId(0), {1, 0}, root, BytesOf("a"));
  index.Add(BlockId(1), {2, 0}, PrefixParent(BlockId(0)), BytesOf("b"));
  index.Add(BlockId(2), {3, 0}, PrefixParent(BlockId(0)), BytesOf("c"));
  EXPECT_EQ(index.children(BlockId(0)), 2);
  EXPECT_EQ(index.Remove(BlockId(1)).block(), BlockId(0));
  EXPECT_EQ(index.Remove(BlockId(2)).block(), BlockId(0));
  EXPECT_EQ(index.children(BlockId(0)), 0);
  EXPECT_EQ(index.Remove(BlockId(0)).block(), std::nullopt);
  EXPECT_EQ(index.size(), Blocks(0));
}

// What is fetched ahead is only a guess: it may name a block that has gone, but never one that
// never was, and fetching changes nothing.
TEST(PrefixIndex, KnowsWhatWasLetGoSoonAfterABlock) {
  PrefixIndex index = IndexOf(128);
  const PrefixParent root = PrefixParent::Root({});
  for (int32_t i = 0; i < 128; ++i) {
    const std::string content = std::to_string(i);
    const PrefixKey key = {static_cast<uint64_t>(i) << 32, 0};
    index.Add(BlockId(i), key, root, BytesOf(content));
    index.Prefetch(std::span(&key, 1));
    index.LetGo(BlockId(i));
  }
  const std::optional<BlockId> soon = index.LetGoAfter(BlockId(3));
  ASSERT_TRUE(soon.has_value());
  EXPECT_GT(soon->index(), 3);
  EXPECT_EQ(index.LetGoAfter(BlockId(127)), std::nullopt);
  for (int32_t i = 0; i < 128; ++i) {
    if (const auto next = index.LetGoAfter(BlockId(i))) index.PrefetchRemove(*next);
    index.Remove(BlockId(i));
    ASSERT_EQ(index.FindViolation(), std::nullopt);
  }
}

TEST(PrefixIndex, RefusesACapacityOutOfRange) {
  for (const int64_t blocks : {int64_t{0}, int64_t{1} << 31}) {
    EXPECT_EQ(PrefixIndex::Create(Blocks(blocks), 8).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(PrefixIndexDeathTest, MisuseAborts) {
  PrefixIndex index = IndexOf(4);
  const PrefixParent root = PrefixParent::Root({});
  index.Add(BlockId(0), {1, 0}, root, BytesOf("a"));
  index.Add(BlockId(1), {2, 0}, PrefixParent(BlockId(0)), BytesOf("b"));
  EXPECT_DEATH(index.Add(BlockId(1), {9, 0}, root, BytesOf("c")), "check failed.*block 1");
  EXPECT_DEATH(index.Add(BlockId(2), {9, 0}, PrefixParent(BlockId(3)), BytesOf("c")),
               "check failed.*block 3");
  EXPECT_DEATH(index.Remove(BlockId(0)), "check failed.*block 0 2");
  EXPECT_DEATH(index.Remove(BlockId(3)), "check failed.*block 3 0");
  EXPECT_DEATH(index.Contains(BlockId(4)), "check failed.*block 4 4");
  EXPECT_DEATH(index.Find({1, 0}, root, BytesOf("longer than it can be")), "check failed");
}

// The index beside a map, with so few keys that most of them collide.
TEST(PrefixIndexProperty, AgreesWithAMapAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  constexpr int kBlocks = 16;
  PrefixIndex index = IndexOf(kBlocks);
  using Name = std::tuple<uint64_t, int, std::string>;  // key, parent or -1, content
  std::map<Name, int> model;
  std::map<int, Name> by_block;
  const auto parent_of = [](int parent) {
    return parent < 0 ? PrefixParent::Root({}) : PrefixParent(BlockId(parent));
  };
  for (int64_t step = 0, steps = StepsOr(50'000); step < steps; ++step) {
    const int parent = static_cast<int>(random() % (kBlocks + 1)) - 1;
    const Name name = {random() % 3, parent, std::string(1, static_cast<char>('a' + random() % 3))};
    const auto& [low, its_parent, content] = name;
    if (parent >= 0 && !by_block.contains(parent)) continue;
    const auto found = index.Find({low, 0}, parent_of(parent), BytesOf(content));
    const auto expected = model.find(name);
    ASSERT_EQ(found.has_value(), expected != model.end()) << "step " << step;
    const int block = static_cast<int>(random() % kBlocks);
    if (found) {
      ASSERT_EQ(found->index(), expected->second);
    } else if (!by_block.contains(block)) {
      index.Add(BlockId(block), {low, 0}, parent_of(parent), BytesOf(content));
      model[name] = block;
      by_block[block] = name;
    }
    if (random() % 2 == 0 && by_block.contains(block) && index.children(BlockId(block)) == 0) {
      index.Remove(BlockId(block));
      model.erase(by_block[block]);
      by_block.erase(block);
    }
    ASSERT_EQ(index.size(), Blocks(std::ssize(model)));
    ASSERT_EQ(index.FindViolation(), std::nullopt) << "step " << step;
  }
}

}  // namespace
}  // namespace plimsoll
