// The cache alone: by hand, beside a textbook LRU, and the published traces' figures.
#include <cstdlib>
#include <list>
#include <map>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/replay/cache_replay.h"
#include "tools/replay/prompt_names.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;

TraceRequest Request(int64_t prompt, std::vector<uint64_t> ids) {
  return {Duration::zero(), Tokens(prompt), Tokens(0), std::move(ids)};
}

ReplayReport Replayed(const std::vector<TraceRequest>& trace, std::optional<int64_t> blocks,
                      Eviction eviction = Eviction::kLru) {
  CacheReplayOptions options{.eviction = eviction};
  if (blocks) options.blocks = Blocks(*blocks);
  const auto report = ReplayCache(trace, options);
  PLIMSOLL_CHECK(report.ok(), report.status().message());
  return *report;
}

TEST(PromptNames, SplitIdsIntoSmallerBlocksAndJoinThemIntoLarger) {
  const std::vector<uint64_t> ids = {5, 9};
  const auto names = [&](int64_t prompt, int64_t block_tokens, int64_t blocks) {
    return PromptNames(ids, Tokens(prompt), Tokens(block_tokens), Blocks(blocks));
  };
  EXPECT_THAT(names(600, 512, 2), ElementsAre(5, 9));
  EXPECT_THAT(names(600, 512, 1), ElementsAre(5));
  EXPECT_THAT(names(600, 256, 3), ElementsAre(10, 11, 18));
  EXPECT_THAT(names(600, 1024, 1), ElementsAre(9));
  EXPECT_THAT(names(300, 1024, 1), ElementsAre(5));
  EXPECT_THAT(names(2000, 512, 4), ElementsAre(5, 9)) << "as far as the ids go";
}

// Three blocks of cache. The second request finds a (512 of its 700 tokens) and adds c; then b is
// the oldest. The third finds a and c, the part last block too.
TEST(CacheReplay, CountsWhatWasThereBeforeTheRequest) {
  const std::vector<TraceRequest> trace = {Request(1024, {1, 2}), Request(700, {1, 3}),
                                           Request(1000, {7, 8}), Request(700, {1, 3})};
  const ReplayReport ample = Replayed(trace, std::nullopt);
  EXPECT_EQ(ample.requests, 4);
  EXPECT_EQ(ample.prompt_blocks, Blocks(8));
  EXPECT_EQ(ample.prompt_tokens, Tokens(3424));
  EXPECT_EQ(ample.prefix_hit_blocks, Blocks(3));
  EXPECT_EQ(ample.prefix_hit_tokens, Tokens(512 + 700));
  EXPECT_EQ(ample.peak_blocks, Blocks(5));
  // After the third request three of {a, c, 7, 8} stay: not c, the older of a prompt's tail.
  const ReplayReport small = Replayed(trace, 3);
  EXPECT_EQ(small.prefix_hit_blocks, Blocks(2));
  EXPECT_EQ(small.prefix_hit_tokens, Tokens(1024));
  EXPECT_EQ(small.peak_blocks, Blocks(3));
  EXPECT_EQ(small.total_blocks, Blocks(3));
}

TEST(CacheReplay, ARequestLongerThanTheCacheIsServedAndItsFrontStays) {
  const std::vector<TraceRequest> trace = {Request(2048, {1, 2, 3, 4}),
                                           Request(2048, {1, 2, 3, 4})};
  EXPECT_EQ(Replayed(trace, 2).prefix_hit_blocks, Blocks(2));
}

TEST(CacheReplay, ATraceWithoutIdsFindsNothing) {
  EXPECT_EQ(Replayed({Request(700, {}), Request(700, {})}, 10).prefix_hit_blocks, Blocks(0));
}

// The rule as one would write it down: one list of ids, and nothing of a tree.
int64_t TextbookLru(const std::vector<TraceRequest>& trace, size_t capacity) {
  std::list<uint64_t> order;  // oldest first
  std::map<uint64_t, std::list<uint64_t>::iterator> where;
  int64_t hits = 0;
  for (const TraceRequest& request : trace) {
    size_t found = 0;
    while (found < request.hash_ids.size() && where.contains(request.hash_ids[found])) ++found;
    hits += static_cast<int64_t>(found);
    for (auto id = request.hash_ids.rbegin(); id != request.hash_ids.rend(); ++id) {
      if (const auto old = where.find(*id); old != where.end()) order.erase(old->second);
      order.push_back(*id);
      where[*id] = std::prev(order.end());
    }
    for (; order.size() > capacity; order.pop_front()) where.erase(order.front());
  }
  return hits;
}

// Chats that branch: each prompt goes on from a part of an earlier one.
std::vector<TraceRequest> Chats(uint32_t seed, int requests) {
  std::mt19937 random(seed);
  std::vector<std::vector<uint64_t>> chats = {{1}};
  uint64_t next_id = 2;
  std::vector<TraceRequest> trace;
  for (int i = 0; i < requests; ++i) {
    std::vector<uint64_t> ids =
        chats[chats.size() - 1 - random() % std::min<size_t>(40, chats.size())];
    ids.resize(1 + random() % ids.size());
    for (auto n = 1 + random() % 5; n > 0; --n) ids.push_back(next_id++);
    trace.push_back(Request(std::ssize(ids) * 512 - static_cast<int64_t>(random() % 512), ids));
    chats.push_back(std::move(ids));
  }
  return trace;
}

TEST(CacheReplayProperty, LruIsTheTextbooksAtEveryCapacity) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  const std::vector<TraceRequest> trace = Chats(static_cast<uint32_t>(seed), 500);
  for (const int64_t capacity : {1, 2, 5, 10, 20, 50, 100, 1000}) {
    EXPECT_EQ(Replayed(trace, capacity).prefix_hit_blocks.value(),
              TextbookLru(trace, static_cast<size_t>(capacity)))
        << capacity;
  }
}

TEST(CacheReplayProperty, NoPolicyFindsMoreThanACacheWithoutEndAndAllFindThatInOne) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  const std::vector<TraceRequest> trace = Chats(static_cast<uint32_t>(seed), 500);
  const Blocks most = Replayed(trace, std::nullopt).prefix_hit_blocks;
  for (const Eviction eviction : {Eviction::kFifo, Eviction::kLru, Eviction::kLearned}) {
    EXPECT_EQ(Replayed(trace, std::nullopt, eviction).prefix_hit_blocks, most);
    for (const int64_t capacity : {1, 10, 100}) {
      EXPECT_LE(Replayed(trace, capacity, eviction).prefix_hit_blocks, most);
    }
  }
}

std::vector<TraceRequest> PublishedTrace(const char* folder, const std::string& name) {
  const auto trace =
      ReadTrace(std::string(folder) + "/mooncake_" + name + "_trace.jsonl", TraceFormat::kMooncake);
  PLIMSOLL_CHECK(trace.ok(), trace.status().message());
  return *trace;
}

double RatioOf(const ReplayReport& report) {
  return static_cast<double>(report.prefix_hit_blocks.value()) /
         static_cast<double>(report.prompt_blocks.value());
}

// As an independent simulation of the public traces has them.
TEST(CacheReplayOnTraces, LruIsAsSimulatedElsewhereAtEveryCapacity) {
  const char* const folder = std::getenv("PLIMSOLL_TRACES");
  if (folder == nullptr) GTEST_SKIP() << "set PLIMSOLL_TRACES to a folder with the public traces";
  const std::map<int64_t, double> conversation = {
      {1000, 0.045}, {10000, 0.212}, {30000, 0.326}, {50000, 0.355}, {100000, 0.364}};
  const std::map<int64_t, double> synthetic = {
      {1000, 0.084}, {10000, 0.424}, {30000, 0.624}, {50000, 0.640}};
  for (const auto& [name, table] :
       {std::pair("conversation", conversation), std::pair("synthetic", synthetic)}) {
    const auto trace = PublishedTrace(folder, name);
    for (const auto& [blocks, ratio] : table) {
      EXPECT_NEAR(RatioOf(Replayed(trace, blocks)), ratio, 0.0005) << name << " " << blocks;
    }
  }
  EXPECT_NEAR(RatioOf(Replayed(PublishedTrace(folder, "conversation"), std::nullopt)), 0.3664,
              0.00005);
  EXPECT_NEAR(RatioOf(Replayed(PublishedTrace(folder, "synthetic"), std::nullopt)), 0.6396,
              0.00005);
}

TEST(CacheReplayOnTraces, TheLearnedPolicyFindsMoreThanLruAndNeverMuchLess) {
  const char* const folder = std::getenv("PLIMSOLL_TRACES");
  if (folder == nullptr) GTEST_SKIP() << "set PLIMSOLL_TRACES to a folder with the public traces";
  // How much more, at least, by blocks of cache.
  const std::map<int64_t, double> conversation = {{1000, 1.40},  {3000, 1.40},  {10000, 1.04},
                                                  {30000, 1.01}, {50000, 0.98}, {100000, 0.98}};
  const std::map<int64_t, double> synthetic = {{500, 0.98},   {1000, 1.08}, {3000, 1.02},
                                               {10000, 1.04}, {30000, 1.0}, {50000, 0.98}};
  for (const auto& [name, table] :
       {std::pair("conversation", conversation), std::pair("synthetic", synthetic)}) {
    const auto trace = PublishedTrace(folder, name);
    for (const auto& [blocks, least] : table) {
      EXPECT_GE(RatioOf(Replayed(trace, blocks, Eviction::kLearned)),
                least * RatioOf(Replayed(trace, blocks)))
          << name << " " << blocks;
    }
  }
}

}  // namespace
}  // namespace plimsoll
