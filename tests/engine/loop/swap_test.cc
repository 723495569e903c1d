// Sequences that stop and are kept in the host's memory: a request says what it says alone, and
// computes nothing twice that was kept.
#include "tests/engine/loop/swap_stack.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>

namespace plimsoll {
namespace {

std::vector<int32_t> Alone(const GenerationRequest& request) {
  Stack stack;
  const auto listener = std::make_shared<Collector>();
  PLIMSOLL_CHECK(stack.Submit(request, listener).ok());
  stack.RunAll();
  return listener->tokens;
}

// Two requests for 15 tokens each in five blocks of 4: with 8 tokens each they hold two blocks;
// then the first takes the last one and the second stops, until the first has ended.
struct TwoInFiveBlocks {
  explicit TwoInFiveBlocks(SwapStack& stack) {
    PLIMSOLL_CHECK(stack.Submit(one, first).ok());
    ticket = *stack.Submit(two, second);
    for (int i = 0; i < 7; ++i) PLIMSOLL_CHECK(stack.Step());
  }
  const GenerationRequest one = Request({3, 1, 4}, 12), two = Request({1, 5, 9}, 12);
  const std::shared_ptr<Collector> first = std::make_shared<Collector>(),
                                   second = std::make_shared<Collector>();
  int64_t ticket = 0;
};

TEST(SwapRates, CopyingIsWorthItWhereItTakesLessTime) {
  const SwapRates rates{.block_seconds = 3, .token_seconds = 1};
  EXPECT_TRUE(rates.Worth(Blocks(1), Tokens(4)));
  EXPECT_FALSE(rates.Worth(Blocks(1), Tokens(3)));
  EXPECT_FALSE(rates.Worth(Blocks(2), Tokens(5)));
  EXPECT_FALSE(rates.Worth(Blocks(0), Tokens(0))) << "there is nothing to keep";
}

TEST(Swap, WhoStopsIsKeptAndComputesNothingAgain) {
  SwapStack stack({.engine = {.blocks = Blocks(5)}});
  TwoInFiveBlocks requests(stack);
  EXPECT_EQ(stack.loop->Stats().preempted, 1);
  EXPECT_EQ(stack.loop->Stats().swapped_out, 1);
  EXPECT_EQ(stack.loop->Stats().swapped_in, 0);
  EXPECT_EQ(stack.loop->Stats().swap, (SwapCounts{.total = Blocks(16),
                                                  .held = Blocks(2),
                                                  .free = Blocks(14),
                                                  .sequences = 1,
                                                  .copied_out = Blocks(2),
                                                  .copied_in = Blocks(0)}));
  stack.RunAll();
  EXPECT_EQ(requests.first->tokens, Alone(requests.one));
  EXPECT_EQ(requests.second->tokens, Alone(requests.two));
  EXPECT_EQ(stack.loop->Stats().swapped_in, 1);
  EXPECT_EQ(stack.loop->Stats().recomputed_tokens, 0);
  EXPECT_EQ(stack.swap->counts().copied_in, Blocks(2));
  stack.ExpectEmpty();
}

TEST(Swap, WithoutRoomWhoStopsComputesAgain) {
  SwapStack stack({.engine = {.blocks = Blocks(5)}, .swap_blocks = 1});
  TwoInFiveBlocks requests(stack);
  stack.RunAll();
  EXPECT_EQ(requests.second->tokens, Alone(requests.two));
  EXPECT_EQ(stack.loop->Stats().swapped_out, 0);
  EXPECT_EQ(stack.loop->Stats().recomputed_tokens, 8);
  stack.ExpectEmpty();
}

TEST(Swap, WhatCostsMoreThanComputingIsNotCopied) {
  SwapStack stack({.engine = {.blocks = Blocks(5)}, .block_seconds = 1e9});
  TwoInFiveBlocks requests(stack);
  stack.RunAll();
  EXPECT_EQ(requests.second->tokens, Alone(requests.two));
  EXPECT_EQ(stack.loop->Stats().swapped_out, 0);
  EXPECT_EQ(stack.loop->Stats().recomputed_tokens, 8);
}

TEST(Swap, WhoEndsWhileItIsKeptLeavesNothing) {
  SwapStack stack({.engine = {.blocks = Blocks(5)}});
  TwoInFiveBlocks requests(stack);
  ASSERT_EQ(stack.swap->counts().held, Blocks(2));
  stack.loop->Cancel(requests.ticket);
  stack.Step();
  EXPECT_TRUE(requests.second->finished);
  EXPECT_EQ(stack.swap->counts().held, Blocks(0));
  stack.RunAll();
  EXPECT_EQ(requests.first->tokens, Alone(requests.one));
  stack.ExpectEmpty();
}

TEST(Swap, ALoopThatGoesAwayLeavesNothing) {
  SwapStack stack({.engine = {.blocks = Blocks(5)}});
  TwoInFiveBlocks requests(stack);
  ASSERT_EQ(stack.swap->counts().held, Blocks(2));
  stack.loop.reset();
  EXPECT_TRUE(requests.first->finished && requests.second->finished);
  stack.ExpectEmpty();
}

// The pool shrinks to four blocks while two are kept: what comes back finds other places.
TEST(Swap, ThePoolMayShrinkMeanwhile) {
  SwapStack stack({.engine = {.blocks = Blocks(5)}});
  TwoInFiveBlocks requests(stack);
  ASSERT_EQ(stack.swap->counts().held, Blocks(2));
  const auto resized = stack.admission.With([&](AdmissionController& controller) {
    return controller.Resize(Blocks(4), [&](Blocks, std::span<const BlockMove> moves) {
      const Bytes bytes = stack.engine.layout.block_bytes;
      std::byte* const pool = stack.engine.arena->base();
      std::vector<DeviceCopy> copies;
      for (const auto& [from, to] : moves) {
        copies.push_back(
            {pool + to.index() * bytes.value(), pool + from.index() * bytes.value(), bytes});
      }
      return CpuBackend().CopyAll(copies);
    });
  });
  ASSERT_TRUE(resized.ok()) << resized.status();
  stack.RunAll();
  EXPECT_EQ(requests.first->tokens, Alone(requests.one));
  EXPECT_EQ(requests.second->tokens, Alone(requests.two));
  EXPECT_EQ(stack.loop->Stats().swapped_in, 1);
  stack.ExpectEmpty();
}

// A CPU whose copies fail from the given call on.
class FailingCopies final : public DeviceBackend {
 public:
  explicit FailingCopies(int good) : good_(good) {}
  std::string_view name() const override { return cpu_.name(); }
  const Ops& ops() const override { return cpu_.ops(); }
  absl::Status CanDecode() const override { return cpu_.CanDecode(); }
  const DeviceTraits& traits() const override { return cpu_.traits(); }
  absl::StatusOr<DeviceMemory> Memory() const override { return cpu_.Memory(); }
  Bytes ChunkGranule() const override { return cpu_.ChunkGranule(); }
  absl::StatusOr<std::unique_ptr<Arena>> CreateArena(Bytes max, Bytes chunk) const override {
    return cpu_.CreateArena(max, chunk);
  }
  absl::StatusOr<DeviceSlab> Allocate(Bytes bytes) const override { return cpu_.Allocate(bytes); }
  absl::Status CopyToDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return cpu_.CopyToDevice(to, from, bytes);
  }
  absl::Status CopyToHost(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return cpu_.CopyToHost(to, from, bytes);
  }
  absl::Status CopyOnDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return cpu_.CopyOnDevice(to, from, bytes);
  }
  absl::Status CopyAll(std::span<const DeviceCopy> copies) const override {
    if (good_-- > 0) return cpu_.CopyAll(copies);
    return absl::InternalError("copies: pretended");
  }
  absl::StatusOr<PinnedMemory> Pin(std::byte* data, Bytes bytes) const override {
    return cpu_.Pin(data, bytes);
  }
  absl::Status QueueToDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return cpu_.QueueToDevice(to, from, bytes);
  }
  absl::Status QueueToHost(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return cpu_.QueueToHost(to, from, bytes);
  }
  absl::StatusOr<DeviceGraph> Capture(const std::function<absl::Status()>& work) const override {
    return cpu_.Capture(work);
  }
  absl::Status Launch(const DeviceGraph& graph) const override { return cpu_.Launch(graph); }
  absl::StatusOr<double> Time(const std::function<absl::Status()>& work) const override {
    return cpu_.Time(work);
  }
  absl::Status Synchronize() const override { return cpu_.Synchronize(); }

 private:
  const DeviceBackend& cpu_ = CpuBackend();
  mutable int good_;
};

TEST(Swap, WhoseCopiesFailEndsWithTheReasonAndOthersGoOn) {
  for (const int good : {0, 1}) {  // out, in
    SCOPED_TRACE(good);
    const FailingCopies device(good);
    SwapStack stack({.engine = {.blocks = Blocks(5)}}, Model(), ReferenceOps(), device);
    TwoInFiveBlocks requests(stack);
    stack.RunAll();
    EXPECT_EQ(requests.first->tokens, Alone(requests.one));
    EXPECT_TRUE(requests.second->finished);
    EXPECT_EQ(requests.second->status, absl::InternalError("swap: copies: pretended"));
    stack.ExpectEmpty();
  }
}

TEST(Swap, CopiesAreMeasuredWhereNobodySaysWhatTheyCost) {
  SwapStack stack({.engine = {.blocks = Blocks(5)}, .block_seconds = std::nullopt});
  TwoInFiveBlocks requests(stack);
  stack.RunAll();  // whichever it chooses
  EXPECT_EQ(requests.first->tokens, Alone(requests.one));
  EXPECT_EQ(requests.second->tokens, Alone(requests.two));
  const FailingCopies device(0);
  EXPECT_EQ(SwapSpace::Create(*stack.engine.cache, device, stack.engine.arena->base(),
                              {.block_bytes = Bytes(64), .blocks = Blocks(1)})
                .status(),
            absl::InternalError("copies: pretended"));
}

// Reserves with the hashes of the prompt's first two blocks.
void SubmitNamed(SwapStack& stack, GenerationRequest request, std::shared_ptr<Collector> listener) {
  const auto answer = stack.admission.With([&](AdmissionController& controller) {
    return controller.Reserve({.prompt_tokens = Tokens(std::ssize(request.prompt)),
                               .max_new_tokens = request.max_new_tokens,
                               .prefix_hashes = {21, 22}});
  });
  PLIMSOLL_CHECK(answer.ok() && std::holds_alternative<Reservation>(*answer));
  request.reservation_id = std::get<Reservation>(*answer).id;
  PLIMSOLL_CHECK(stack.loop->Submit(std::move(request), std::move(listener)).ok());
}

// Two that share two found blocks, and grow to six blocks each in a pool of eight.
TEST(Swap, WhoBeganWithAFoundPrefixIsKeptAndComesBack) {
  SwapStack stack({.engine = {.blocks = Blocks(8), .eviction = Eviction::kLru}});
  const GenerationRequest finder = Request({1, 2, 3, 4, 5, 6, 7, 8, 9}, 1),
                          one = Request({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 12),
                          two = Request({1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14}, 12);
  SubmitNamed(stack, finder, std::make_shared<Collector>());
  stack.Stack::RunAll();  // which leaves alone what is cached and nobody holds
  const auto first = std::make_shared<Collector>(), second = std::make_shared<Collector>();
  SubmitNamed(stack, one, first);
  SubmitNamed(stack, two, second);
  stack.Stack::RunAll();
  const LoopStats stats = stack.loop->Stats();
  EXPECT_EQ(stats.prompt_tokens, 9 + 3 + 3) << "the first blocks were found";
  EXPECT_EQ(stats.swapped_out, 1);
  EXPECT_EQ(stats.swapped_in, 1);
  EXPECT_EQ(stats.recomputed_tokens, 0);
  EXPECT_EQ(first->tokens, Alone(one));
  EXPECT_EQ(second->tokens, Alone(two));
  EXPECT_EQ(stack.swap->counts().held, Blocks(0));
}

class SwapProperty : public testing::TestWithParam<PolicyOptions> {};

// Requests come all the time to a pool that is too small for what they may use, and to swap space
// that is too small for all who stop; each says what it says alone, and everybody ends.
TEST_P(SwapProperty, EverybodyEndsAndSaysWhatItSaysAlone) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  SwapStack stack({.engine = {.blocks = Blocks(24)},
                   .swap_blocks = 10,
                   .loop = {.max_batched_tokens = Tokens(24), .max_sequences = 8},
                   .policy = GetParam()});
  std::vector<GenerationRequest> requests;
  std::vector<std::shared_ptr<Collector>> listeners;
  while (requests.size() < 16 || stack.Step()) {
    if (requests.size() == 16) continue;
    stack.Step();
    std::vector<int32_t> prompt(1 + random() % 20);
    for (int32_t& token : prompt) token = static_cast<int32_t>(random() % 101);
    GenerationRequest request = Request(prompt, 1 + static_cast<int64_t>(random() % 50));
    request.sampling = {.temperature = 0.9, .top_k = 20, .top_p = 0.95, .seed = random()};
    request.reservation_id = stack.Reserve(std::ssize(prompt), request.max_new_tokens.value());
    if (request.reservation_id.empty()) continue;
    listeners.push_back(std::make_shared<Collector>());
    ASSERT_TRUE(stack.loop->Submit(request, listeners.back()).ok());
    requests.push_back(request);
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_TRUE(listeners[i]->finished);
    EXPECT_EQ(listeners[i]->tokens, Alone(requests[i])) << "request " << i;
  }
  const LoopStats stats = stack.loop->Stats();
  EXPECT_EQ(stats.swapped_out, stats.swapped_in) << "nobody was cancelled";
  EXPECT_LE(stats.swapped_out, stats.preempted);
  EXPECT_EQ(stats.swap.copied_out, stats.swap.copied_in);
  if (GetParam().policy == Policy::kWatermark) {
    EXPECT_GT(stats.swapped_out, 0) << "the pool was too large to test anything";
  }
  stack.ExpectEmpty();
}

INSTANTIATE_TEST_SUITE_P(Policies, SwapProperty,
                         testing::Values(kNoWatermark, PolicyOptions{.policy = Policy::kQuantile,
                                                                     .overflow_goal = 0.5}));

}  // namespace
}  // namespace plimsoll
