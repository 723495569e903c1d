// What the cache tells of its named blocks: numbers, records, snapshots, and subscribers that
// always end up with what is there.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kvcache/pool/kv_cache.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

constexpr Tokens kBlockTokens(2);

std::unique_ptr<KvCache> CacheOf(int64_t blocks, int64_t events) {
  auto cache = KvCache::Create({.capacity = Blocks(blocks),
                                .block_tokens = kBlockTokens,
                                .eviction = Eviction::kLru,
                                .events = events});
  EXPECT_TRUE(cache.ok()) << cache.status();
  return *std::move(cache);
}

// Each character is a block of two tokens.
std::vector<int32_t> TokensOf(const std::string& blocks) {
  std::vector<int32_t> tokens;
  for (const char c : blocks) tokens.insert(tokens.end(), {c, c});
  return tokens;
}

// A request from its beginning to its end; false if there was no room.
bool Serve(KvCache& cache, const std::string& prompt, std::string_view salt = "") {
  const std::vector<int32_t> tokens = TokensOf(prompt);
  const BlockNames names = BlockNames::OfTokens(tokens, kBlockTokens);
  const auto id = cache.BeginWith({salt, names}, Blocks(names.size()));
  if (!id) return false;
  const int64_t found = cache.Found(*id).value();
  if (found < names.size()) {
    cache.Commit(*cache.PlanAppend(*id, (names.size() - found) * kBlockTokens));
    cache.Name(*id, names.Subrange(found, names.size() - found));
  }
  cache.End(*id);
  return true;
}

TEST(BlockEvents, ARequestIsToldInOneRecordPerChainAndRoomThatIsMadeInAnother) {
  const auto cache = CacheOf(3, 100);
  EXPECT_EQ(cache->LastEvent(), 0);
  ASSERT_TRUE(Serve(*cache, "ab"));
  ASSERT_TRUE(Serve(*cache, "ac"));
  const auto events = *cache->EventsSince(0, 100);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, BlockEventKind::kStored);
  EXPECT_EQ(events[0].number, 2);
  EXPECT_EQ(events[0].parent_block_hash, std::nullopt);
  EXPECT_EQ(events[0].block_hashes.size(), 2u);
  EXPECT_EQ(events[0].token_ids, TokensOf("ab"));
  EXPECT_EQ(events[0].block_size, kBlockTokens);
  EXPECT_EQ(events[1].number, 3);
  EXPECT_EQ(events[1].parent_block_hash, events[0].block_hashes[0]) << "a was there";
  EXPECT_EQ(events[1].token_ids, TokensOf("c"));

  ASSERT_TRUE(cache->Promise(Blocks(3)));
  const auto later = *cache->EventsSince(3, 100);
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(later[0].kind, BlockEventKind::kRemoved);
  EXPECT_EQ(later[0].number, 6);
  EXPECT_THAT(later[0].block_hashes,
              testing::ElementsAre(events[0].block_hashes[1], events[1].block_hashes[0],
                                   events[0].block_hashes[0]))
      << "b, c and what both follow";
}

TEST(BlockEvents, HashesOfTheClientAreToldAsTheyAre) {
  const auto cache = CacheOf(4, 100);
  const std::vector<uint64_t> hashes = {11, 12};
  const SequenceId id = *cache->BeginWith({"", BlockNames::OfHashes(hashes)}, Blocks(2));
  cache->Commit(*cache->PlanAppend(id, 2 * kBlockTokens));
  cache->Name(id, BlockNames::OfHashes(hashes));
  for (const auto& events : {*cache->EventsSince(0, 100), cache->EventSnapshot()}) {
    EXPECT_EQ(events.back().client_hashes, hashes);
    EXPECT_TRUE(events.back().token_ids.empty());
  }
}

TEST(BlockEvents, AreReadInPortionsAndKnownOnesNotAgain) {
  const auto cache = CacheOf(8, 100);
  ASSERT_TRUE(Serve(*cache, "abcde"));
  const auto first = *cache->EventsSince(0, 2);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].token_ids, TokensOf("ab"));
  EXPECT_EQ(first[0].number, 2);
  const auto second = *cache->EventsSince(2, 2);
  EXPECT_EQ(second[0].token_ids, TokensOf("cd"));
  EXPECT_EQ(second[0].parent_block_hash, first[0].block_hashes[1]);
  EXPECT_THAT(*cache->EventsSince(5, 2), testing::IsEmpty());
}

TEST(BlockEvents, WhoFellBehindIsToldSo) {
  const auto cache = CacheOf(8, 3);
  ASSERT_TRUE(Serve(*cache, "abcd"));
  EXPECT_EQ(cache->EventsSince(0, 10), std::nullopt) << "the first of four is gone";
  EXPECT_TRUE(cache->EventsSince(1, 10).has_value());
  EXPECT_EQ(cache->EventsSince(5, 10), std::nullopt) << "a number of another life";
  EXPECT_EQ(cache->EventsSince(-1, 10), std::nullopt);
  const auto snapshot = cache->EventSnapshot();
  ASSERT_EQ(snapshot.size(), 2u);
  EXPECT_EQ(snapshot[0].kind, BlockEventKind::kCleared);
  EXPECT_EQ(snapshot[1].token_ids, TokensOf("abcd"));
  EXPECT_EQ(snapshot[1].number, 4);
}

TEST(BlockEvents, ForgettingAllNamesIsOneChange) {
  const auto cache = CacheOf(8, 100);
  ASSERT_TRUE(Serve(*cache, "abc"));
  const SequenceId id = cache->Begin(Blocks(0));
  cache->Commit(*cache->PlanAppend(id, Tokens(1)));
  EXPECT_FALSE(cache->ForgetNames()) << "its tokens could be named later";
  cache->End(id);
  EXPECT_TRUE(cache->ForgetNames());
  EXPECT_EQ(cache->counts().free, Blocks(8));
  const auto events = *cache->EventsSince(3, 10);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, BlockEventKind::kCleared);
  EXPECT_EQ(cache->EventSnapshot().size(), 1u);
}

TEST(BlockEvents, WithoutThemASnapshotIsAllThereIsToSay) {
  const auto cache = CacheOf(4, 0);
  ASSERT_TRUE(Serve(*cache, "ab"));
  EXPECT_EQ(cache->LastEvent(), 0);
  EXPECT_EQ(cache->EventsSince(0, 10), std::nullopt);
}

TEST(BlockEvents, OptionsOutOfRangeAreNamed) {
  const auto message = [](int64_t events, Eviction eviction) {
    const auto cache =
        KvCache::Create({.capacity = Blocks(1), .eviction = eviction, .events = events});
    EXPECT_EQ(cache.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(cache.status().message());
  };
  EXPECT_THAT(message(-1, Eviction::kLru), testing::HasSubstr("events=-1"));
  EXPECT_THAT(message((1 << 24) + 1, Eviction::kLru), testing::HasSubstr("events=16777217"));
  EXPECT_THAT(message(1, Eviction::kOff), testing::HasSubstr("events=1"));
}

// Mirrors the cache by what it is told, as slowly as it likes.
class Subscriber {
 public:
  using Path = std::vector<int32_t>;  // the tokens of a block and of all before it

  void Read(const KvCache& cache, int64_t most) {
    if (const auto events = number_ ? cache.EventsSince(*number_, most) : std::nullopt) {
      for (const BlockEvent& event : *events) Apply(event);
      return;
    }
    ++snapshots_;
    for (const BlockEvent& event : cache.EventSnapshot()) Apply(event);
  }
  bool UpToDate(const KvCache& cache) const { return number_ == cache.LastEvent(); }
  std::multiset<Path> Paths() const {
    std::multiset<Path> paths;
    for (const auto& [key, path] : paths_) paths.insert(path);
    return paths;
  }
  int64_t snapshots() const { return snapshots_; }

 private:
  using Key = std::pair<uint64_t, uint64_t>;
  static Key Of(const PrefixKey& key) { return {key.low, key.high}; }

  void Apply(const BlockEvent& event) {
    number_ = event.number;
    if (event.kind == BlockEventKind::kCleared) return paths_.clear();
    if (event.kind == BlockEventKind::kStored) return Store(event);
    for (const PrefixKey& key : event.block_hashes) ASSERT_EQ(paths_.erase(Of(key)), 1u);
  }
  void Store(const BlockEvent& event) {
    Path path;
    if (event.parent_block_hash) {
      ASSERT_TRUE(paths_.contains(Of(*event.parent_block_hash))) << "parents come first";
      path = paths_[Of(*event.parent_block_hash)];
    }
    auto token = event.token_ids.begin();
    for (const PrefixKey& key : event.block_hashes) {
      path.insert(path.end(), token, token + event.block_size.value());
      token += event.block_size.value();
      ASSERT_TRUE(paths_.emplace(Of(key), path).second) << "stored twice";
    }
  }

  std::optional<int64_t> number_;
  std::map<Key, Path> paths_;
  int64_t snapshots_ = 0;
};

// Every prompt of up to `longest` blocks that the cache would find whole, by asking it.
void CollectPaths(const KvCache& cache, std::string& text, size_t longest,
                  std::multiset<Subscriber::Path>& paths) {
  for (const char c : {'a', 'b', 'c'}) {
    text.push_back(c);
    const std::vector<int32_t> tokens = TokensOf(text);
    const auto found = cache.Find({"", BlockNames::OfTokens(tokens, kBlockTokens)}).blocks;
    if (found == Blocks(std::ssize(text))) {
      paths.insert(tokens);
      if (text.size() < longest) CollectPaths(cache, text, longest, paths);
    }
    text.pop_back();
  }
}

constexpr size_t kLongest = 7;

std::string AnyText(std::mt19937& random) {
  std::string text;
  for (auto n = 1 + random() % kLongest; n > 0; --n) text += static_cast<char>('a' + random() % 3);
  return text;
}

TEST(BlockEventsProperty, WhoeverJoinsWheneverEndsUpWithWhatIsThere) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const auto cache = CacheOf(24, 40);
  std::vector<Subscriber> subscribers(4);
  int64_t snapshots = 0;
  for (int64_t step = 0, steps = StepsOr(20'000); step < steps; ++step) {
    Serve(*cache, AnyText(random));
    if (random() % 50 == 0) cache->TrimCached(Blocks(static_cast<int64_t>(random() % 20)));
    if (random() % 500 == 0) {
      ASSERT_TRUE(cache->ForgetNames());
    }
    Subscriber& one = subscribers[random() % subscribers.size()];
    if (random() % 200 == 0) {
      snapshots += one.snapshots();
      one = Subscriber();
    }
    if (random() % 4 == 0) one.Read(*cache, 1 + static_cast<int64_t>(random() % 30));
    ASSERT_FALSE(testing::Test::HasFatalFailure()) << "step " << step;
    if (!one.UpToDate(*cache)) continue;
    std::multiset<Subscriber::Path> paths;
    std::string text;
    CollectPaths(*cache, text, kLongest, paths);
    ASSERT_EQ(one.Paths(), paths) << "step " << step;
  }
  for (const Subscriber& one : subscribers) snapshots += one.snapshots();
  EXPECT_GT(snapshots, 100) << "some fell behind";
}

}  // namespace
}  // namespace plimsoll
