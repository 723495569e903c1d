// A cache of several groups that has only one, which keeps all tokens, beside KvCache: both evict
// what was last used longest ago, so both must find the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "kvcache/pool/group_cache.h"
#include "kvcache/pool/kv_cache.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

constexpr Tokens kBlockTokens(16);

class BothCaches {
 public:
  BothCaches(int64_t slabs, int64_t per_slab)
      : one_(*KvCache::Create({.capacity = Blocks(slabs * per_slab),
                               .block_tokens = kBlockTokens,
                               .eviction = Eviction::kLru})),
        groups_(*GroupCache::Create({.slab_bytes = Bytes(per_slab * 8),
                                     .slabs = slabs,
                                     .block_tokens = kBlockTokens,
                                     .step = Tokens(1 << 20),
                                     .groups = {{Retention::All(), Bytes(8)}},
                                     .sharing = GroupSharing{}})) {}

  // Returns what was found, in blocks.
  int64_t Serve(const std::vector<uint64_t>& hashes) {
    const Prompt prompt{.salt = "", .names = BlockNames::OfHashes(hashes)};
    const auto total = Blocks(prompt.names.size());
    const SequenceId id = *one_->BeginWith(prompt, total);
    const int64_t found = one_->Found(id).value();
    const BlockNames rest = prompt.names.Subrange(found, total.value() - found);
    if (rest.size() > 0) one_->Commit(*one_->PlanAppend(id, rest.size() * kBlockTokens));
    one_->Name(id, rest);
    one_->End(id);

    const SequenceId its_id = groups_->BeginWith(prompt, total.value() * kBlockTokens)->id;
    EXPECT_EQ(groups_->Length(its_id), found * kBlockTokens);
    if (rest.size() > 0) groups_->Append(its_id, rest.size() * kBlockTokens);
    groups_->Name(its_id, rest);
    groups_->End(its_id);
    EXPECT_EQ(groups_->pool().counts(0).cached, one_->counts().cached);
    return found;
  }
  std::optional<std::string> FindViolation() const { return groups_->FindViolation(); }

 private:
  std::unique_ptr<KvCache> one_;
  std::unique_ptr<GroupCache> groups_;
};

TEST(GroupOracle, OneGroupFindsWhatTheCacheOfOneGroupFinds) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  for (const int64_t per_slab : {1, 4}) {
    BothCaches both(48 / per_slab, per_slab);
    int64_t found = 0;
    for (int64_t step = 0; step < StepsOr(2000); ++step) {
      std::vector<uint64_t> hashes(random() % 40 + 1);
      uint64_t state = 0;
      for (uint64_t& hash : hashes) hash = state = state * 31 + (random() % 8 == 0 ? 2 : 1);
      found += both.Serve(hashes);
      ASSERT_EQ(both.FindViolation(), std::nullopt);
      ASSERT_FALSE(testing::Test::HasFailure()) << "step " << step;
    }
    EXPECT_GT(found, 0);
  }
}

std::vector<uint64_t> HashesOf(const std::string& line) {
  std::vector<uint64_t> hashes;
  const size_t list = line.find('[', line.find("\"hash_ids\""));
  for (const char* at = line.c_str() + list; *at != ']';) {
    char* end = nullptr;
    hashes.push_back(std::strtoull(at + 1, &end, 10));
    at = end;
  }
  return hashes;
}

// Serves the trace's prompts, of which a block has 512 tokens; returns how many blocks it found.
int64_t ServeAll(const std::string& path, const std::vector<LayerGroup>& groups, int64_t slabs) {
  const Tokens block_tokens(512);
  const auto cache = *GroupCache::Create({.slab_bytes = Bytes(8),
                                          .slabs = slabs,
                                          .block_tokens = block_tokens,
                                          .step = block_tokens,
                                          .groups = groups,
                                          .sharing = GroupSharing{}});
  std::ifstream trace(path);
  int64_t found = 0;
  for (std::string line; std::getline(trace, line);) {
    const std::vector<uint64_t> hashes = HashesOf(line);
    const BlockNames names = BlockNames::OfHashes(hashes);
    const Tokens total = names.size() * block_tokens;
    const SequenceId id = cache->BeginWith({"", names}, total)->id;
    found += cache->Length(id) / block_tokens;
    while (cache->Length(id) < total) {
      const int64_t next = cache->Length(id) / block_tokens;
      cache->Append(id, block_tokens);
      cache->Name(id, names.Subrange(next, 1));
    }
    cache->End(id);
  }
  return found;
}

// Half of the layers of gpt-oss keep 128 tokens. What that saves must be there for other prompts.
TEST(GroupOracle, WindowsLeaveRoomForMorePrefixesOnAServersTrace) {
  const char* const folder = std::getenv("PLIMSOLL_TRACES");
  if (folder == nullptr) GTEST_SKIP() << "PLIMSOLL_TRACES names no folder with traces";
  const std::string path = std::string(folder) + "/mooncake_conversation_trace.jsonl";
  const LayerGroup full{Retention::All(), Bytes(8)};
  const int64_t all = ServeAll(path, {full, full}, 10922);
  const int64_t windows = ServeAll(path, {full, {Retention::Window(Tokens(128)), Bytes(8)}}, 10922);
  RecordProperty("all", std::to_string(all));
  RecordProperty("windows", std::to_string(windows));
  EXPECT_GT(windows * 10, all * 14) << windows << " blocks found, " << all << " without windows";
}

// Blocks of the trace, of which the published infinite-cache ratio speaks too.
TEST(GroupOracle, TheyFindTheSameOnAServersTrace) {
  const char* const folder = std::getenv("PLIMSOLL_TRACES");
  if (folder == nullptr) GTEST_SKIP() << "PLIMSOLL_TRACES names no folder with traces";
  std::ifstream trace(std::string(folder) + "/mooncake_conversation_trace.jsonl");
  ASSERT_TRUE(trace) << folder;
  BothCaches both(2000, 5);
  int64_t found = 0, blocks = 0;
  for (std::string line; std::getline(trace, line);) {
    const std::vector<uint64_t> hashes = HashesOf(line);
    found += both.Serve(hashes);
    blocks += std::ssize(hashes);
    ASSERT_FALSE(testing::Test::HasFailure()) << line;
  }
  RecordProperty("ratio", std::to_string(static_cast<double>(found) / static_cast<double>(blocks)));
  EXPECT_GT(found * 5, blocks) << found << " of " << blocks;
  EXPECT_EQ(both.FindViolation(), std::nullopt);
}

}  // namespace
}  // namespace plimsoll
