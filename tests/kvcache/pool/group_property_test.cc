// Random requests against caches of several groups in all combinations, with the engine's memory
// beside them: whatever is found must hold what it should, and what is promised must be there.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kvcache/pool/group_cache.h"
#include "tests/kvcache/pool/group_engine.h"
#include "tests/kvcache/pool/random_steps.h"

namespace plimsoll {
namespace {

struct Shape {
  const char* name;
  std::vector<LayerGroup> groups;
};

const LayerGroup kFull{Retention::All(), Bytes(160)};
const LayerGroup kLatent{Retention::All(), Bytes(33)};
const LayerGroup kWindow{Retention::Window(Tokens(9)), Bytes(320)};
const LayerGroup kNarrow{Retention::Window(Tokens(1)), Bytes(90)};
const LayerGroup kState{Retention::State(), Bytes(450)};
const LayerGroup kSmallState{Retention::State(), Bytes(70)};

const std::vector<Shape>& Shapes() {
  static const std::vector<Shape> shapes = {
      {"full", {kFull}},
      {"full and window", {kFull, kWindow}},
      {"full and state", {kFull, kState}},
      {"window before full, latent, two states", {kWindow, kFull, kLatent, kState, kSmallState}},
      {"two windows", {kWindow, kNarrow}},
      {"window", {kWindow}},
      {"state", {kState}},
      {"window and state", {kWindow, kState}}};
  return shapes;
}

constexpr int64_t kBlock = 4;
constexpr int64_t kEvery = 8;
constexpr int64_t kLongest = 40;

GroupCacheOptions Options(const Shape& shape, int64_t slabs) {
  return {.slab_bytes = Bytes(500),
          .slabs = slabs,
          .block_tokens = Tokens(kBlock),
          .step = Tokens(5),
          .groups = shape.groups,
          .sharing = GroupSharing{.checkpoint_every = Tokens(kEvery), .nodes = 400}};
}

// What was ever named, in plain sets: prefixes of whole blocks, each with its salt; and those of
// them with a checkpoint.
class Requests {
 public:
  Requests(const Shape& shape, int64_t slabs, bool nothing_goes, uint32_t seed)
      : random_(seed), engine_(Options(shape, slabs)), nothing_goes_(nothing_goes) {
    for (const LayerGroup& group : shape.groups) {
      const bool state = group.retention.kind == Retention::Kind::kState;
      has_state_ = has_state_ || state;
      keeps_tokens_ = keeps_tokens_ || !state;
    }
  }

  void Step() {
    const std::vector<SequenceId> running = engine_.Running();
    if (running.empty() || Upto(5) == 0) return Begin();
    const SequenceId id = running[static_cast<size_t>(Upto(std::ssize(running) - 1))];
    const int64_t what = Upto(24);
    if (preempted_.contains(id)) return Resume(id);
    if (what == 0) {
      engine_.End(id);
    } else if (what == 1) {
      engine_.Preempt(id);
      preempted_.insert(id);
    } else if (what == 2) {
      Truncate(id);
    } else if (what == 3) {
      Fork(id);
    } else {
      Run(id);
    }
  }
  void Compare() {
    ASSERT_EQ(engine_.cache().FindViolation(), std::nullopt);
    for (const SequenceId id : engine_.Running()) engine_.Check(id);
    const std::vector<int32_t> tokens = SomeTokens(kLongest);
    const std::string salt = SomeSalt();
    const int64_t found = engine_.cache().Find({salt, engine_.Names(tokens, 0, kLongest)}).value();
    const int64_t named = Longest(salt, tokens, kLongest);
    ASSERT_LE(found, named);
    if (nothing_goes_) {
      ASSERT_EQ(found, named);
    }
    found_ += found;
  }
  int64_t found() const { return found_; }
  int64_t refused() const { return refused_; }

 private:
  using Named = std::pair<std::string, std::vector<int32_t>>;
  struct Stops {
    int64_t prompt, parting;
  };

  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }
  std::string SomeSalt() { return Upto(3) == 0 ? "b" : "a"; }
  // Blocks of few kinds, so that many begin alike and part somewhere.
  std::vector<int32_t> SomeTokens(int64_t n) {
    std::vector<int32_t> tokens;
    while (std::ssize(tokens) < n) {
      const auto kind = static_cast<int32_t>(Upto(9) == 0 ? 1 : 0);
      for (int32_t i = 0; i < kBlock; ++i) tokens.push_back(kind * 100 + i);
    }
    tokens.resize(static_cast<size_t>(n));
    return tokens;
  }
  static Named PrefixOf(const std::string& salt, const std::vector<int32_t>& tokens, int64_t n) {
    return {salt, {tokens.begin(), tokens.begin() + n}};
  }
  int64_t Longest(const std::string& salt, const std::vector<int32_t>& tokens, int64_t n) const {
    const std::set<Named>& ends = has_state_ ? checkpoints_ : named_;
    for (int64_t length = n / kBlock * kBlock; length > 0; length -= kBlock) {
      if (ends.contains(PrefixOf(salt, tokens, length))) return length;
    }
    return 0;
  }
  void NoteNamed(SequenceId id, int64_t before, bool copied) {
    const int64_t length = engine_.cache().Length(id).value();
    const auto& tokens = engine_.TokensOf(id);
    const std::string& salt = engine_.SaltOf(id);
    for (int64_t n = (before / kBlock + 1) * kBlock; n <= length; n += kBlock) {
      named_.insert(PrefixOf(salt, tokens, n));
    }
    if (length % kBlock != 0 || length == 0 || !has_state_) return;
    const Stops& stops = stops_.at(id);
    const bool due = length % kEvery == 0 || length == stops.prompt || length == stops.parting;
    const bool is_new = !checkpoints_.contains(PrefixOf(salt, tokens, length));
    if (nothing_goes_ && keeps_tokens_) {
      ASSERT_EQ(copied, due && is_new) << length;
    }
    if (copied) checkpoints_.insert(PrefixOf(salt, tokens, length));
  }
  // Where the prompt ends, and where it leaves what was named before and went on.
  Stops StopsOf(const std::string& salt, const std::vector<int32_t>& tokens, int64_t prompt) const {
    Stops stops{prompt / kBlock * kBlock, 0};
    int64_t common = 0;
    while (common < stops.prompt && named_.contains(PrefixOf(salt, tokens, common + kBlock))) {
      common += kBlock;
    }
    for (const auto& [its_salt, its_tokens] : named_) {
      if (its_salt != salt || std::ssize(its_tokens) <= common) continue;
      if (std::equal(tokens.begin(), tokens.begin() + common, its_tokens.begin())) {
        stops.parting = common;
      }
    }
    return stops;
  }

  void Begin() {
    const int64_t total = Upto(kLongest);
    const int64_t prompt = Upto(total);
    const std::vector<int32_t> tokens = SomeTokens(total);
    const std::string salt = SomeSalt();
    const GroupCache& cache = engine_.cache();
    const bool fits_alone = cache.pool().CanReserve(cache.Needed(Tokens(total)));
    const Tokens expected = cache.Find({salt, engine_.Names(tokens, 0, prompt)});
    const Stops stops = StopsOf(salt, tokens, prompt);
    const auto id = engine_.Begin(salt, tokens, prompt);
    ASSERT_TRUE(id.has_value() || !fits_alone);
    if (!id) ++refused_;
    if (!id) return;
    const Tokens length = cache.Length(*id);
    ASSERT_TRUE(length == expected || length == Tokens(0)) << length << " of " << expected;
    stops_[*id] = stops;
  }
  void Run(SequenceId id) {
    const int64_t length = engine_.cache().Length(id).value();
    const int64_t left = std::ssize(engine_.TokensOf(id)) - length;
    if (left == 0) return;
    const auto copies = engine_.Run(id, 1 + Upto(std::min<int64_t>(5, left) - 1));
    NoteNamed(id, length, !copies.empty());
  }
  // Drafts that are taken back: appended without being named. States are not what they were.
  void Truncate(SequenceId id) {
    if (has_state_) return;
    GroupCache& cache = engine_.cache();
    const Tokens length = cache.Length(id);
    const int64_t left = std::ssize(engine_.TokensOf(id)) - length.value();
    if (left > 0) cache.Append(id, Tokens(1 + Upto(std::min<int64_t>(5, left) - 1)));
    ASSERT_LE(cache.EarliestLength(id), length);
    cache.Truncate(id, length);
  }
  void Fork(SequenceId id) {
    const int64_t left = kLongest - engine_.cache().Length(id).value();
    const auto fork = engine_.Fork(id, SomeTokens(Upto(left)));
    if (fork) stops_[*fork] = stops_.at(id);
  }
  void Resume(SequenceId id) {
    const int64_t prompt = Upto(std::ssize(engine_.TokensOf(id)));
    const Stops stops = StopsOf(engine_.SaltOf(id), engine_.TokensOf(id), prompt);
    if (!engine_.Resume(id, prompt)) return;
    stops_[id] = stops;
    preempted_.erase(id);
  }

  std::mt19937 random_;
  GroupEngine engine_;
  const bool nothing_goes_;
  bool has_state_ = false;
  bool keeps_tokens_ = false;  // else the tree forgets what has neither checkpoint nor sequence
  std::set<SequenceId> preempted_;
  std::map<SequenceId, Stops> stops_;
  std::set<Named> named_, checkpoints_;
  int64_t found_ = 0;
  int64_t refused_ = 0;
};

void RunSteps(const Shape& shape, int64_t slabs, int64_t steps, bool roomy) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE(std::string(shape.name) +
               ", rerun with --gtest_random_seed=" + std::to_string(seed));
  Requests requests(shape, slabs, roomy, static_cast<uint32_t>(seed));
  for (int64_t step = 0; step < steps; ++step) {
    requests.Step();
    requests.Compare();
    ASSERT_FALSE(testing::Test::HasFatalFailure()) << "step " << step;
  }
  EXPECT_GT(requests.found(), 0);
  EXPECT_EQ(requests.refused() > 0, !roomy);
}

TEST(GroupProperty, WhatIsFoundIsTheLongestThatWasNamedWhereNothingHadToGo) {
  for (const Shape& shape : Shapes()) RunSteps(shape, 4000, 300, true);
}

TEST(GroupProperty, WhatIsFoundIsRightWhereMuchHadToGo) {
  for (const Shape& shape : Shapes()) RunSteps(shape, 14, StepsOr(3000), false);
}

}  // namespace
}  // namespace plimsoll
