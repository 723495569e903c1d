// A pool behind the C interface, for tests: calls by their names in C++, failures with their line.
//
// Threads: any. Errors: a structure or line that is wrong fails the test.
#pragma once

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kvcache/c/plimsoll.h"
#include "tests/support/c_interface.h"

namespace plimsoll {

struct CPoolOptions {
  int64_t blocks = 10;
  int64_t block_tokens = 16;
  const char* eviction = nullptr;
};

class CPool {
 public:
  explicit CPool(const CPoolOptions& options, const plimsoll_admission_options* admission) {
    const auto in = Sized<plimsoll_pool_options>({.struct_size = 0,
                                                  .blocks = options.blocks,
                                                  .block_tokens = options.block_tokens,
                                                  .eviction = options.eviction,
                                                  .hash_seed = 7});
    Line why;
    EXPECT_EQ(plimsoll_pool_create(&in, admission, &pool, &why), PLIMSOLL_OK) << why.text();
  }
  explicit CPool(const CPoolOptions& options = {}) : CPool(options, nullptr) {}
  ~CPool() { EXPECT_EQ(plimsoll_pool_destroy(pool, nullptr), PLIMSOLL_OK); }
  CPool(const CPool&) = delete;
  CPool& operator=(const CPool&) = delete;

  plimsoll_snapshot Snapshot() const {
    auto snapshot = Sized<plimsoll_snapshot>();
    EXPECT_EQ(plimsoll_pool_snapshot(pool, &snapshot, nullptr), PLIMSOLL_OK);
    EXPECT_EQ(snapshot.live_blocks + snapshot.cached_blocks + snapshot.reserved_blocks +
                  snapshot.free_blocks,
              snapshot.total_blocks);
    return snapshot;
  }
  plimsoll_code Begin(const plimsoll_prompt* prompt, int64_t total, plimsoll_sequence& sequence) {
    sequence = Sized<plimsoll_sequence>();
    return plimsoll_sequence_begin(pool, prompt, total, &sequence, nullptr);
  }
  plimsoll_code Append(int64_t sequence, int64_t tokens, plimsoll_block_copy* copy = nullptr) {
    auto ignored = Sized<plimsoll_block_copy>();
    return plimsoll_sequence_append(pool, sequence, tokens, 0, copy == nullptr ? &ignored : copy,
                                    nullptr);
  }
  plimsoll_sequence Get(int64_t sequence) const {
    auto state = Sized<plimsoll_sequence>();
    EXPECT_EQ(plimsoll_sequence_get(pool, sequence, &state, nullptr), PLIMSOLL_OK);
    return state;
  }
  std::vector<int32_t> Table(int64_t sequence) const {
    std::vector<int32_t> blocks(1000);
    size_t count = 0;
    EXPECT_EQ(
        plimsoll_sequence_table(pool, sequence, blocks.data(), blocks.size(), &count, nullptr),
        PLIMSOLL_OK);
    blocks.resize(count);
    return blocks;
  }
  plimsoll_code Reserve(int64_t prompt, int64_t max_new, plimsoll_answer& answer) {
    const auto request = Sized<plimsoll_request>(
        {.struct_size = 0, .prompt_tokens = prompt, .max_new_tokens = max_new});
    answer = Sized<plimsoll_answer>();
    return plimsoll_reserve(pool, &request, &answer, nullptr);
  }

  plimsoll_pool* pool = nullptr;
};

// Admission of a pool whose time the test moves, and whose ids begin with "e1-".
inline plimsoll_admission_options OnCallersClock() {
  auto options = Sized<plimsoll_admission_options>();
  options.epoch = "e1";
  options.caller_clock = 1;
  return options;
}

}  // namespace plimsoll
