// What a caller in C can do wrong gets a code and a line, and changes nothing.
#include <bit>
#include <limits>
#include <random>
#include <string>

#include "tests/kvcache/c/c_pool.h"

namespace plimsoll {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();

std::string WhyNoPool(plimsoll_pool_options options, const plimsoll_admission_options* admission) {
  options.struct_size = sizeof options;
  plimsoll_pool* pool = nullptr;
  Line why;
  EXPECT_EQ(plimsoll_pool_create(&options, admission, &pool, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(pool, nullptr);
  return why.text();
}

TEST(CMisuse, OfOptionsIsNamed) {
  plimsoll_pool_options options{};
  EXPECT_EQ(WhyNoPool(options, nullptr), "blocks=0: want 1 to 2147483647");
  options.blocks = -1;
  EXPECT_EQ(WhyNoPool(options, nullptr), "blocks=-1: want 0 or more");
  options.blocks = kMost;
  EXPECT_EQ(WhyNoPool(options, nullptr), "blocks=9223372036854775807: want 1 to 2147483647");
  options.blocks = 10;
  options.block_tokens = 17;
  EXPECT_EQ(WhyNoPool(options, nullptr), "block_tokens=17: want a power of two in [1, 1024]");
  options.block_tokens = kLeast;
  EXPECT_NE(WhyNoPool(options, nullptr), "");
  options.block_tokens = 0;
  options.eviction = "mru";
  EXPECT_EQ(WhyNoPool(options, nullptr), "eviction=mru: want off, fifo, lru or learned");
  options.eviction = nullptr;
  plimsoll_admission_options admission = OnCallersClock();
  admission.epoch = "a-b";
  EXPECT_NE(WhyNoPool(options, &admission).find("epoch=a-b"), std::string::npos);
  admission.epoch = nullptr;
  admission.class_count = 1;
  EXPECT_EQ(WhyNoPool(options, &admission), "classes=null: want a pointer");
  const plimsoll_quota quota{.tenant = "a", .guaranteed = 11, .most = 0};
  admission.class_count = 0;
  admission.quotas = &quota;
  admission.quota_count = 1;
  EXPECT_NE(WhyNoPool(options, &admission).find("quotas.a.guaranteed=11"), std::string::npos);
}

TEST(CMisuse, OfHandlesIsFoundOut) {
  plimsoll_snapshot snapshot = Sized<plimsoll_snapshot>();
  Line why;
  EXPECT_EQ(plimsoll_pool_snapshot(nullptr, &snapshot, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "pool: null, destroyed or no pool");
  int something = 0;
  auto* const address = std::bit_cast<plimsoll_pool*>(&something);
  EXPECT_EQ(plimsoll_pool_snapshot(address, &snapshot, &why), PLIMSOLL_INVALID_ARGUMENT);
  plimsoll_pool* stale = nullptr;
  {
    CPool pool;
    stale = pool.pool;
    EXPECT_EQ(plimsoll_pool_snapshot(stale, &snapshot, &why), PLIMSOLL_OK);
  }
  EXPECT_EQ(plimsoll_pool_snapshot(stale, &snapshot, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(plimsoll_pool_destroy(stale, &why), PLIMSOLL_INVALID_ARGUMENT);
}

TEST(CMisuse, OfStructuresIsFoundOut) {
  CPool pool;
  Line why;
  plimsoll_snapshot snapshot{};
  EXPECT_EQ(plimsoll_pool_snapshot(pool.pool, &snapshot, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "snapshot.struct_size=0: want sizeof the structure");
  EXPECT_EQ(plimsoll_pool_snapshot(pool.pool, nullptr, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "snapshot=null: want a pointer");
  snapshot.struct_size = size_t{1} << 40;
  EXPECT_EQ(plimsoll_pool_snapshot(pool.pool, &snapshot, &why), PLIMSOLL_INVALID_ARGUMENT);
}

// An older caller has the first members only: it gets those, and nothing behind them is touched.
TEST(CMisuse, AnOlderStructureGetsWhatItHas) {
  CPool pool;
  plimsoll_snapshot snapshot{};
  snapshot.struct_size = offsetof(plimsoll_snapshot, live_blocks);
  snapshot.live_blocks = -7;
  ASSERT_EQ(plimsoll_pool_snapshot(pool.pool, &snapshot, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(snapshot.total_blocks, 10);
  EXPECT_EQ(snapshot.live_blocks, -7);
}

// A newer caller has more: fine while it does not use that.
TEST(CMisuse, ANewerStructureIsRefusedOnlyWhereItAsksForMore) {
  struct Newer {
    plimsoll_pool_options known;
    int64_t invented;
  };
  Newer options{};
  options.known = Sized<plimsoll_pool_options>();
  options.known.struct_size = sizeof(Newer);
  options.known.blocks = 10;
  plimsoll_pool* pool = nullptr;
  ASSERT_EQ(plimsoll_pool_create(&options.known, nullptr, &pool, nullptr), PLIMSOLL_OK);
  ASSERT_EQ(plimsoll_pool_destroy(pool, nullptr), PLIMSOLL_OK);
  options.invented = 1;
  Line why;
  EXPECT_EQ(plimsoll_pool_create(&options.known, nullptr, &pool, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "options: has members of a newer version set");
}

TEST(CMisuse, AShortBufferGetsTheBeginningOfTheLine) {
  char line[8];
  plimsoll_text why = {line, sizeof line, 0};
  EXPECT_EQ(plimsoll_pool_destroy(nullptr, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_STREQ(line, "pool: n");
  EXPECT_EQ(why.length, 32u);
}

TEST(CMisuse, OfSequencesIsNamed) {
  CPool pool;
  plimsoll_sequence sequence;
  EXPECT_EQ(pool.Begin(nullptr, 0, sequence), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(pool.Begin(nullptr, kMost, sequence), PLIMSOLL_INVALID_ARGUMENT);
  ASSERT_EQ(pool.Begin(nullptr, 40, sequence), PLIMSOLL_OK);
  EXPECT_EQ(pool.Append(sequence.id, kLeast), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(pool.Append(sequence.id, int64_t{1} << 40), PLIMSOLL_RESOURCE_EXHAUSTED);
  EXPECT_EQ(pool.Append(sequence.id + 1, 1), PLIMSOLL_NOT_FOUND);
  EXPECT_EQ(plimsoll_sequence_truncate(pool.pool, sequence.id, 1, nullptr),
            PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(plimsoll_sequence_name(pool.pool, sequence.id, nullptr, nullptr),
            PLIMSOLL_INVALID_ARGUMENT);
  const auto names = Sized<plimsoll_prompt>();
  EXPECT_EQ(plimsoll_sequence_name(pool.pool, sequence.id, &names, nullptr),
            PLIMSOLL_FAILED_PRECONDITION);
  EXPECT_EQ(plimsoll_sequence_begin_reserved(pool.pool, "e1-1", &sequence, nullptr),
            PLIMSOLL_FAILED_PRECONDITION);
  plimsoll_answer answer;
  EXPECT_EQ(pool.Reserve(1, 1, answer), PLIMSOLL_FAILED_PRECONDITION);
}

TEST(CMisuse, OfNamesIsNamed) {
  CPool pool({.eviction = "lru"});
  const std::vector<int32_t> tokens(33, 5);
  const std::vector<uint64_t> hashes(2, 5);
  auto prompt = Sized<plimsoll_prompt>(
      {.struct_size = 0, .salt = nullptr, .tokens = tokens.data(), .token_count = 33});
  plimsoll_sequence sequence;
  ASSERT_EQ(pool.Begin(&prompt, 40, sequence), PLIMSOLL_OK);
  Line why;
  EXPECT_EQ(plimsoll_sequence_name(pool.pool, sequence.id, &prompt, &why),
            PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "names=2 blocks: want at most the 0 that are full and have no name");
  ASSERT_EQ(pool.Append(sequence.id, 32), PLIMSOLL_OK);
  auto by_hash = Sized<plimsoll_prompt>();
  by_hash.hashes = hashes.data();
  by_hash.hash_count = 2;
  EXPECT_EQ(plimsoll_sequence_name(pool.pool, sequence.id, &by_hash, &why),
            PLIMSOLL_INVALID_ARGUMENT);
  prompt.hashes = hashes.data();
  prompt.hash_count = 2;
  EXPECT_EQ(pool.Begin(&prompt, 40, sequence), PLIMSOLL_INVALID_ARGUMENT);
  prompt.hash_count = 0;
  prompt.tokens = nullptr;
  EXPECT_EQ(pool.Begin(&prompt, 40, sequence), PLIMSOLL_INVALID_ARGUMENT);
}

TEST(CMisuse, TimeNeverGoesBack) {
  const plimsoll_admission_options options = OnCallersClock();
  CPool pool({}, &options);
  ASSERT_EQ(plimsoll_set_time(pool.pool, 5, nullptr), PLIMSOLL_OK);
  Line why;
  EXPECT_EQ(plimsoll_set_time(pool.pool, 4, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "now_ns=4: want at least 5, up to 2^62");
  EXPECT_EQ(plimsoll_set_time(pool.pool, kMost, &why), PLIMSOLL_INVALID_ARGUMENT);
  const auto on_the_systems = Sized<plimsoll_admission_options>();
  CPool other({}, &on_the_systems);
  EXPECT_EQ(plimsoll_set_time(other.pool, 5, &why), PLIMSOLL_FAILED_PRECONDITION);
}

// Numbers that nobody would send, in calls that nobody would make: the debug build's checks, which
// abort, are the judge.
class Storm {
 public:
  Storm(CPool& pool, uint32_t seed) : pool_(pool.pool), rng_(seed) {}

  void Step() {
    switch (rng_() % 16) {
      case 0:
        plimsoll_sequence_begin(pool_, Prompt(), Number(), &sequence_, nullptr);
        break;
      case 1:
        plimsoll_sequence_begin_reserved(pool_, Id(), &sequence_, nullptr);
        break;
      case 2:
        plimsoll_sequence_fork(pool_, Small(), Number(), &sequence_, nullptr);
        break;
      case 3:
        plimsoll_sequence_truncate(pool_, Small(), Number(), nullptr);
        break;
      case 4:
        plimsoll_sequence_name(pool_, Small(), Prompt(), nullptr);
        break;
      case 5:
        plimsoll_sequence_end(pool_, Small(), nullptr);
        break;
      case 6:
        plimsoll_reserve(pool_, Request(), &answer_, nullptr);
        break;
      case 7:
        plimsoll_reserve_or_wait(pool_, Request(), Number(), &ticket_, &answer_, nullptr);
        break;
      case 8:
        plimsoll_take_answer(pool_, &ticket_, &answer_, nullptr);
        break;
      case 9:
        plimsoll_cancel_wait(pool_, Small(), nullptr);
        break;
      case 10:
        plimsoll_extend(pool_, Id(), Number(), &answer_, nullptr);
        break;
      case 11:
        plimsoll_release(pool_, Id(), nullptr);
        break;
      case 12:
        plimsoll_set_time(pool_, time_ += Small(), nullptr);
        break;
      case 13:
        plimsoll_set_draining(pool_, rng_() % 8 == 0, nullptr);
        break;
      case 14:
        plimsoll_can_admit(pool_, Request(), &answer_, nullptr);
        break;
      default:
        plimsoll_sequence_append(pool_, Small(), Number(), Number(), &copy_, nullptr);
    }
  }

 private:
  int64_t Small() { return static_cast<int64_t>(rng_() % 40); }
  int64_t Number() {
    const int64_t odd[] = {-1, kLeast, kMost, int64_t{1} << 40, 0};
    return rng_() % 8 == 0 ? odd[rng_() % 5] : Small();
  }
  const char* Id() {
    id_ = "e1-" + std::to_string(Small());
    return rng_() % 16 == 0 ? nullptr : id_.c_str();
  }
  const plimsoll_prompt* Prompt() {
    const bool by_hash = rng_() % 2 == 0;
    prompt_.token_count = by_hash ? 0 : rng_() % 20;
    prompt_.hash_count = by_hash ? rng_() % 4 : 0;
    return rng_() % 8 == 0 ? nullptr : &prompt_;
  }
  const plimsoll_request* Request() {
    request_.prompt_tokens = Number();
    request_.max_new_tokens = Number();
    request_.prefix_hash_count = rng_() % 4;
    return &request_;
  }

  plimsoll_pool* const pool_;
  std::mt19937 rng_;
  std::string id_;
  int64_t ticket_ = 0;
  int64_t time_ = 0;
  const std::vector<int32_t> tokens_ = std::vector<int32_t>(20, 3);
  const std::vector<uint64_t> hashes_ = {1, 2, 3};
  plimsoll_prompt prompt_ = Sized<plimsoll_prompt>({.struct_size = 0,
                                                    .salt = "",
                                                    .tokens = tokens_.data(),
                                                    .token_count = 0,
                                                    .hashes = hashes_.data(),
                                                    .hash_count = 0});
  plimsoll_request request_ = Sized<plimsoll_request>({.struct_size = 0,
                                                       .prompt_tokens = 1,
                                                       .max_new_tokens = 1,
                                                       .ttl_ns = 50,
                                                       .prefix_hashes = hashes_.data(),
                                                       .prefix_hash_count = 0});
  plimsoll_sequence sequence_ = Sized<plimsoll_sequence>();
  plimsoll_answer answer_ = Sized<plimsoll_answer>();
  plimsoll_block_copy copy_ = Sized<plimsoll_block_copy>();
};

TEST(CMisuse, NoOrderOfCallsBreaksAnInvariant) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  const plimsoll_admission_options options = OnCallersClock();
  for (uint32_t round = 0; round < 40; ++round) {
    CPool pool({.block_tokens = 4, .eviction = round % 2 == 0 ? "lru" : "off"},
               round % 4 < 2 ? &options : nullptr);
    Storm storm(pool, static_cast<uint32_t>(seed) * 100 + round);
    for (int step = 0; step < 300; ++step) {
      storm.Step();
      pool.Snapshot();
      ASSERT_FALSE(testing::Test::HasFailure()) << "round " << round << " step " << step;
    }
  }
}

}  // namespace
}  // namespace plimsoll
