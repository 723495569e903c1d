// The cache with an eviction policy: what is found, shared, kept and evicted.
#include <gmock/gmock.h>

#include <list>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kvcache/pool/kv_cache.h"
#include "tests/kvcache/pool/caches.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

constexpr Tokens kBlockTokens(2);

std::unique_ptr<KvCache> CacheOf(int64_t blocks, Eviction eviction = Eviction::kLru) {
  return CacheWith(blocks, eviction, kBlockTokens);
}

// Each character is a block of two tokens.
class Text {
 public:
  explicit Text(const std::string& blocks) {
    for (const char c : blocks) tokens_.insert(tokens_.end(), {c, c});
  }
  BlockNames names() const { return BlockNames::OfTokens(tokens_, kBlockTokens); }

 private:
  std::vector<int32_t> tokens_;
};

std::optional<SequenceId> Begin(KvCache& cache, const std::string& prompt, int64_t total,
                                std::string_view salt = "") {
  const Text text(prompt);
  return cache.BeginWith({salt, text.names()}, Blocks(total));
}

// Appends blocks and names them.
void Write(KvCache& cache, SequenceId id, const std::string& blocks) {
  const auto plan = cache.PlanAppend(id, std::ssize(blocks) * kBlockTokens);
  ASSERT_TRUE(plan.has_value());
  cache.Commit(*plan);
  cache.Name(id, Text(blocks).names());
}

// A request from its beginning to its end.
void Serve(KvCache& cache, const std::string& prompt, std::string_view salt = "") {
  const auto id = Begin(cache, prompt, std::ssize(prompt), salt);
  ASSERT_TRUE(id.has_value());
  const auto found = static_cast<size_t>(cache.Found(*id).value());
  if (found < prompt.size()) Write(cache, *id, prompt.substr(found));
  cache.End(*id);
}

PrefixFound Found(const KvCache& cache, const std::string& prompt, std::string_view salt = "") {
  const Text text(prompt);
  return cache.Find({salt, text.names()});
}

TEST(PrefixSharing, WhatASequenceNamedStaysAndTheNextOneFindsIt) {
  const auto cache = CacheOf(10);
  const SequenceId first = *Begin(*cache, "abc", 4);
  EXPECT_EQ(cache->Found(first), Blocks(0));
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 0, 4));
  Write(*cache, first, "abc");
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0, 1));
  const std::vector<BlockId> table(cache->Table(first).begin(), cache->Table(first).end());
  cache->End(first);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 3, 0));

  const SequenceId second = *Begin(*cache, "abx", 4);
  EXPECT_EQ(cache->Found(second), Blocks(2));
  EXPECT_EQ(cache->Length(second), Tokens(4));
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 1, 2)) << "two found, two promised, c still cached";
  EXPECT_THAT(cache->Table(second), testing::ElementsAre(table[0], table[1]));
  cache->End(second);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 3, 0));
}

TEST(PrefixSharing, SequencesThatRunAtOneTimeShareToo) {
  const auto cache = CacheOf(10);
  const SequenceId first = *Begin(*cache, "ab", 3);
  Write(*cache, first, "ab");
  EXPECT_EQ(Found(*cache, "ab"), (PrefixFound{.blocks = Blocks(2), .cached = Blocks(0)}));
  const SequenceId second = *Begin(*cache, "ab", 3);
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 2)) << "a shared block counts once";
  cache->End(first);
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 1)) << "and lives as long as somebody holds it";
  cache->End(second);
  EXPECT_EQ(cache->counts(), CountsOf(10, 0, 2, 0));
}

TEST(PrefixSharing, WhoComputedTheSameAtTheSameTimeGivesItsBlockBack) {
  const auto cache = CacheOf(10);
  const SequenceId first = *Begin(*cache, "ab", 2);
  const SequenceId second = *Begin(*cache, "ac", 2);
  Write(*cache, first, "ab");
  EXPECT_EQ(cache->counts(), CountsOf(10, 2, 0, 2));
  Write(*cache, second, "ac");
  EXPECT_EQ(cache->counts(), CountsOf(10, 3, 0, 0)) << "one a, one b, one c";
  EXPECT_EQ(cache->Table(first)[0], cache->Table(second)[0]);
  EXPECT_NE(cache->Table(first)[1], cache->Table(second)[1]);
}

TEST(PrefixSharing, NothingIsSharedBetweenSaltsOrKindsOfNames) {
  const auto cache = CacheOf(10);
  Serve(*cache, "ab", "mine");
  EXPECT_EQ(Found(*cache, "ab", "mine").blocks, Blocks(2));
  EXPECT_EQ(Found(*cache, "ab", "theirs").blocks, Blocks(0));
  EXPECT_EQ(Found(*cache, "ab").blocks, Blocks(0));
  // The same eight bytes, once as tokens and once as a hash.
  const std::vector<int32_t> tokens = {'a', 'a'};
  const std::vector<uint64_t> hashes = {uint64_t{'a'} << 32 | 'a'};
  EXPECT_EQ(cache->Find({"mine", BlockNames::OfTokens(tokens, kBlockTokens)}).blocks, Blocks(1));
  EXPECT_EQ(cache->Find({"mine", BlockNames::OfHashes(hashes)}).blocks, Blocks(0));
}

TEST(PrefixSharing, HashesOfTheClientNameBlocksToo) {
  const auto cache = CacheOf(10);
  const std::vector<uint64_t> hashes = {11, 12, 13};
  const Prompt prompt{"tenant", BlockNames::OfHashes(hashes)};
  const SequenceId id = *cache->BeginWith(prompt, Blocks(3));
  cache->Commit(*cache->PlanAppend(id, 3 * kBlockTokens));
  cache->Name(id, prompt.names);
  cache->End(id);
  EXPECT_EQ(cache->Find(prompt), (PrefixFound{.blocks = Blocks(3), .cached = Blocks(3)}));
  EXPECT_EQ(cache->Find({"other", prompt.names}).blocks, Blocks(0));
}

TEST(PrefixSharing, RoomIsMadeByEvictingTheOldestAndOfOnePromptTheLastFirst) {
  const auto cache = CacheOf(5);
  Serve(*cache, "ab");
  Serve(*cache, "xyz");
  EXPECT_EQ(cache->counts(), CountsOf(5, 0, 5, 0));
  ASSERT_TRUE(cache->Promise(Blocks(1)));
  EXPECT_EQ(Found(*cache, "ab").blocks, Blocks(1));
  EXPECT_EQ(Found(*cache, "xyz").blocks, Blocks(3));
  EXPECT_EQ(cache->counts(), CountsOf(5, 0, 4, 1));
  ASSERT_TRUE(cache->Promise(Blocks(2)));
  EXPECT_EQ(Found(*cache, "ab").blocks, Blocks(0));
  EXPECT_EQ(Found(*cache, "xyz").blocks, Blocks(2));
  EXPECT_FALSE(cache->Promise(Blocks(3)));
  EXPECT_EQ(cache->counts(), CountsOf(5, 0, 2, 3)) << "a no changes nothing";
}

// The prompt's own blocks are the oldest, and just enough others can go.
TEST(PrefixSharing, WhatIsFoundIsHeldBeforeAnythingIsEvicted) {
  const auto cache = CacheOf(4);
  Serve(*cache, "ab");
  Serve(*cache, "xy");
  EXPECT_EQ(Begin(*cache, "abcd", 5), std::nullopt);
  EXPECT_EQ(cache->counts(), CountsOf(4, 0, 4, 0));
  const auto id = Begin(*cache, "abcd", 4);
  ASSERT_TRUE(id.has_value());
  EXPECT_EQ(cache->Found(*id), Blocks(2));
  EXPECT_EQ(cache->counts(), CountsOf(4, 2, 0, 2));
  EXPECT_EQ(Found(*cache, "x").blocks, Blocks(0));
}

TEST(PrefixSharing, AnAppendBeyondThePromiseEvictsToo) {
  const auto cache = CacheOf(3);
  Serve(*cache, "ab");
  const SequenceId id = cache->Begin(Blocks(0));
  EXPECT_EQ(cache->PlanAppend(id, 4 * kBlockTokens), std::nullopt);
  cache->Commit(*cache->PlanAppend(id, 3 * kBlockTokens));
  EXPECT_EQ(cache->counts(), CountsOf(3, 3, 0, 0));
}

TEST(PrefixSharing, TrimmingLeavesTheYoungest) {
  const auto cache = CacheOf(9);
  Serve(*cache, "ab");
  Serve(*cache, "xyz");
  cache->TrimCached(Blocks(2));
  EXPECT_EQ(cache->counts(), CountsOf(9, 0, 2, 0));
  EXPECT_EQ(Found(*cache, "xyz").blocks, Blocks(2));
  cache->TrimCached(Blocks(0));
  EXPECT_EQ(cache->counts(), CountsOf(9, 0, 0, 0));
}

TEST(PrefixSharing, WithoutAPolicyNothingIsKept) {
  const auto cache = CacheOf(4, Eviction::kOff);
  EXPECT_FALSE(cache->shares_prefixes());
  EXPECT_EQ(Found(*cache, "ab").blocks, Blocks(0));
}

TEST(PrefixSharingDeathTest, MisuseAborts) {
  const auto cache = CacheOf(4);
  const SequenceId plain = cache->Begin(Blocks(0));
  EXPECT_DEATH(cache->Name(plain, Text("a").names()), "check failed.*sequence 0");
  const SequenceId id = *Begin(*cache, "a", 1);
  EXPECT_DEATH(cache->Name(id, Text("a").names()), "check failed.*sequence 1") << "not computed";
  const auto off = CacheOf(4, Eviction::kOff);
  EXPECT_DEATH(Begin(*off, "a", 1), "check failed");
}

// The cache in plain words: paths (salt, then the blocks so far) that are there, and who holds
// them.
class Model {
 public:
  explicit Model(int64_t blocks) : blocks_(blocks) {}

  struct Sequence {
    std::string salt, text;  // what is named; one character for each block
    int64_t unnamed = 0;     // blocks that hold something and have no name
    int64_t promise_left = 0;
  };
  std::map<int64_t, Sequence> sequences;

  BlockCounts Counts() const {
    int64_t live = 0, reserved = 0;
    for (const auto& [path, holders] : holders_) live += holders > 0 ? 1 : 0;
    for (const auto& [id, sequence] : sequences) {
      live += sequence.unnamed;
      reserved += sequence.promise_left;
    }
    return CountsOf(blocks_, live, std::ssize(order_), reserved);
  }
  int64_t FoundOf(const std::string& salt, const std::string& prompt) const {
    int64_t found = 0;
    while (found < std::ssize(prompt) && holders_.contains(Path(salt, prompt, found + 1))) ++found;
    return found;
  }
  bool Begin(int64_t id, const std::string& salt, const std::string& prompt, int64_t total) {
    const int64_t found = FoundOf(salt, prompt.substr(0, static_cast<size_t>(total)));
    int64_t cached = 0;
    for (int64_t i = 1; i <= found; ++i) cached += holders_[Path(salt, prompt, i)] == 0 ? 1 : 0;
    const BlockCounts counts = Counts();
    if (total - found > (counts.free + counts.cached).value() - cached) return false;
    for (int64_t i = 1; i <= found; ++i) Hold(Path(salt, prompt, i));
    MakeRoom(total - found);
    sequences[id] = {salt, prompt.substr(0, static_cast<size_t>(found)), 0, total - found};
    return true;
  }
  void Append(int64_t id) {
    --sequences[id].promise_left;
    ++sequences[id].unnamed;
  }
  void Name(int64_t id, char block) {
    Sequence& sequence = sequences[id];
    --sequence.unnamed;
    sequence.text += block;
    Hold(Path(sequence.salt, sequence.text, std::ssize(sequence.text)));
  }
  void End(int64_t id) {
    const Sequence sequence = sequences[id];
    sequences.erase(id);
    for (int64_t i = std::ssize(sequence.text); i >= 1; --i) {
      const std::string path = Path(sequence.salt, sequence.text, i);
      if (--holders_[path] == 0) order_.push_back(path);
    }
  }

 private:
  static std::string Path(const std::string& salt, const std::string& text, int64_t length) {
    return salt + ":" + text.substr(0, static_cast<size_t>(length));
  }
  void Hold(const std::string& path) {
    if (holders_[path]++ == 0) order_.remove(path);
  }
  void MakeRoom(int64_t n) {
    while (Counts().free < Blocks(n)) {
      holders_.erase(order_.front());
      order_.pop_front();
    }
  }

  const int64_t blocks_;
  std::map<std::string, int64_t> holders_;  // by path
  std::list<std::string> order_;            // paths that nobody holds, oldest first
};

struct CacheAndModel {
  static constexpr int64_t kBlocks = 14;

  explicit CacheAndModel(Eviction eviction) : cache(CacheOf(kBlocks, eviction)) {}

  std::unique_ptr<KvCache> cache;
  Model model{kBlocks};

  static std::string AnyText(std::mt19937& random) {
    std::string text;
    for (auto n = random() % 7; n > 0; --n) text += static_cast<char>('a' + random() % 2);
    return text;
  }
  void Begin(std::mt19937& random) {
    const std::string salt = random() % 4 == 0 ? "s" : "t";
    const std::string prompt = AnyText(random);
    const auto total = static_cast<int64_t>(random() % 8);
    ASSERT_EQ(Found(*cache, prompt, salt).blocks.value(), model.FoundOf(salt, prompt));
    const auto id = ::plimsoll::Begin(*cache, prompt, total, salt);
    const bool began = model.Begin(id ? id->number() : -1, salt, prompt, total);
    ASSERT_EQ(id.has_value(), began);
    if (!id) return;
    ASSERT_EQ(cache->Found(*id).value(), std::ssize(model.sequences[id->number()].text));
  }
  void Append(SequenceId id) {
    if (model.sequences[id.number()].promise_left == 0) return;
    cache->Commit(*cache->PlanAppend(id, kBlockTokens));
    model.Append(id.number());
  }
  void Name(SequenceId id, char block) {
    if (model.sequences[id.number()].unnamed == 0) return;
    cache->Name(id, Text(std::string(1, block)).names());
    model.Name(id.number(), block);
  }
  void Step(std::mt19937& random) {
    if (model.sequences.empty() || random() % 6 == 0) return Begin(random);
    const auto any =
        std::next(model.sequences.begin(), static_cast<int64_t>(random() % model.sequences.size()));
    const SequenceId id(any->first);
    switch (random() % 6) {
      case 0:
        cache->End(id);
        return model.End(id.number());
      case 1:
      case 2:
        return Append(id);
      default:
        return Name(id, static_cast<char>('a' + random() % 2));
    }
  }
};

TEST(PrefixSharingProperty, AgreesWithTheModelAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  CacheAndModel both(Eviction::kLru);
  for (int64_t step = 0, steps = StepsOr(50'000); step < steps; ++step) {
    both.Step(random);
    ASSERT_FALSE(testing::Test::HasFatalFailure()) << "step " << step;
    ASSERT_EQ(both.cache->counts(), both.model.Counts()) << "step " << step;
    ASSERT_EQ(both.cache->FindViolation(), std::nullopt) << "step " << step;
  }
}

// With other policies other blocks go, but everything stays consistent.
TEST(PrefixSharingProperty, EveryPolicyKeepsTheInvariants) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  for (const Eviction eviction : {Eviction::kFifo, Eviction::kLearned}) {
    std::mt19937 random(static_cast<uint32_t>(seed));
    const auto cache = CacheOf(20, eviction);
    std::vector<SequenceId> running;
    for (int64_t step = 0, steps = StepsOr(20'000); step < steps; ++step) {
      if (running.size() > 3 || (!running.empty() && random() % 2 == 0)) {
        std::swap(running[random() % running.size()], running.back());
        cache->End(running.back());
        running.pop_back();
        continue;
      }
      const std::string text = CacheAndModel::AnyText(random) + CacheAndModel::AnyText(random);
      const auto id = Begin(*cache, text, std::ssize(text));
      if (!id) continue;
      running.push_back(*id);
      const auto found = static_cast<size_t>(cache->Found(*id).value());
      if (found < text.size()) Write(*cache, *id, text.substr(found));
      ASSERT_EQ(cache->FindViolation(), std::nullopt) << NameOf(eviction) << " step " << step;
    }
  }
}

}  // namespace
}  // namespace plimsoll
