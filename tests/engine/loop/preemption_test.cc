// Sequences that stop for others, under policies that promise less than the whole: what a request
// says is what it says alone, whoever it stops for.
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/engine/loop/tiny_loop.h"

namespace plimsoll {
namespace {

constexpr PolicyOptions kNoWatermark{.policy = Policy::kWatermark, .watermark = 0};

Stack SmallPool(int64_t blocks, const PolicyOptions& policy, const LoopOptions& loop = {}) {
  return Stack({.blocks = Blocks(blocks)}, loop, Model(), ReferenceOps(), policy);
}

std::vector<int32_t> Alone(const GenerationRequest& request) {
  Stack stack;
  const auto listener = std::make_shared<Collector>();
  PLIMSOLL_CHECK(stack.Submit(request, listener).ok());
  stack.RunAll();
  return listener->tokens;
}

int64_t Preempted(Stack& stack) {
  return stack.admission.With(
      [](AdmissionController& controller) { return controller.Snapshot().preempted; });
}

// Five blocks of 4 tokens. Each prompt of 3 gets one block, and both may grow to 15 tokens, 4
// blocks. With 8 tokens each they hold two; then the first takes the last one and the second stops,
// until the first has ended.
TEST(Preemption, TheSecondStopsForTheFirstAndSaysTheSame) {
  Stack stack = SmallPool(5, kNoWatermark);
  const GenerationRequest one = Request({3, 1, 4}, 12), two = Request({1, 5, 9}, 12);
  const auto first = std::make_shared<Collector>(), second = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(one, first).ok());
  ASSERT_TRUE(stack.Submit(two, second).ok());
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(stack.loop->Step());
  EXPECT_EQ(stack.loop->Stats().preempted, 1);
  EXPECT_EQ(stack.loop->Stats().running, 1);
  EXPECT_EQ(Preempted(stack), 1);
  EXPECT_EQ(first->tokens.size(), 7u);
  EXPECT_EQ(second->tokens.size(), 6u);
  stack.RunAll();
  EXPECT_EQ(first->tokens, Alone(one));
  EXPECT_EQ(second->tokens, Alone(two));
  EXPECT_EQ(stack.loop->Stats().recomputed_tokens, 8);
  EXPECT_EQ(stack.loop->Stats().prompt_tokens, 6);
  EXPECT_EQ(stack.loop->Stats().generated_tokens, 24);
  EXPECT_EQ(Preempted(stack), 1);
  stack.ExpectEmpty();
}

// Says who claims that its only token is what was drawn last and is not it.
class WatchingDecoder final : public Decoder {
 public:
  explicit WatchingDecoder(Decoder& decoder) : decoder_(decoder) {}

  absl::StatusOr<std::span<const float>> Forward(std::span<const BatchEntry> batch) override {
    return decoder_.Forward(batch);
  }
  absl::StatusOr<Drawn> ForwardAndDraw(std::span<const BatchEntry> batch) override {
    for (const BatchEntry& entry : batch) {
      if (entry.drawn.token == kNoToken) continue;
      EXPECT_EQ(entry.tokens.size(), 1u);
      EXPECT_EQ(entry.tokens.front(), entry.drawn.token);
    }
    return decoder_.ForwardAndDraw(batch);
  }
  const ModelConfig& model() const override { return decoder_.model(); }
  const Options& options() const override { return decoder_.options(); }
  Bytes buffer_bytes() const override { return decoder_.buffer_bytes(); }
  Bytes graph_bytes() const override { return decoder_.graph_bytes(); }

 private:
  Decoder& decoder_;
};

// A decoder reads a token that was drawn where it drew it, so one whose next token is its prompt's
// first may not name another.
TEST(Preemption, WhoComputesAllAgainNamesNoTokenThatWasDrawn) {
  Stack stack = SmallPool(5, kNoWatermark);
  WatchingDecoder decoder(*stack.engine.decoder);
  stack.loop = std::make_unique<GenerationLoop>(decoder, stack.admission, LoopOptions{});
  ASSERT_TRUE(stack.Submit(Request({3, 1, 4}, 12), std::make_shared<Collector>()).ok());
  ASSERT_TRUE(stack.Submit(Request({1, 5, 9}, 12), std::make_shared<Collector>()).ok());
  stack.RunAll();
  EXPECT_EQ(stack.loop->Stats().recomputed_tokens, 8);
  stack.loop.reset();  // before its decoder
}

TEST(Preemption, NobodyNewStartsBeforeWhoStopped) {
  Stack stack = SmallPool(5, kNoWatermark);
  const auto first = std::make_shared<Collector>(), second = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(Request({3, 1, 4}, 12), first).ok());
  const auto stops = stack.Submit(Request({1, 5, 9}, 12), second);
  for (int i = 0; i < 7; ++i) stack.loop->Step();
  ASSERT_EQ(Preempted(stack), 1);
  EXPECT_EQ(stack.Reserve(1, 1), "") << "there is room, for one";
  stack.loop->Cancel(*stops);
  stack.loop->Step();
  EXPECT_TRUE(second->finished);
  EXPECT_EQ(second->reason, FinishReason::kCancelled);
  EXPECT_NE(stack.Reserve(1, 1), "");
  stack.RunAll();
  EXPECT_EQ(first->tokens.size(), 12u);
}

TEST(Preemption, LogitsAreToldOnceThoughTheyAreComputedTwice) {
  Stack stack = SmallPool(5, kNoWatermark);
  GenerationRequest two = Request({1, 5, 9}, 12);
  two.all_logits = true;
  const auto first = std::make_shared<Collector>(), second = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(Request({3, 1, 4}, 12), first).ok());
  ASSERT_TRUE(stack.Submit(two, second).ok());
  stack.RunAll();
  EXPECT_EQ(Preempted(stack), 1);
  std::vector<int32_t> all = two.prompt;
  all.insert(all.end(), second->tokens.begin(), second->tokens.end());
  EXPECT_EQ(second->positions.size(), 15u);
  TinyEngine alone(Model(), ReferenceOps(), {});
  EXPECT_EQ(second->logits, alone.LogitsOf(all, 64));
}

// The one that runs needs room that a reservation holds on which nothing runs: it waits, and loses
// nothing.
TEST(Preemption, WhoRunsAloneWaitsForReservations) {
  Stack stack = SmallPool(5, kNoWatermark);
  const GenerationRequest request = Request({3, 1, 4}, 12);
  const auto listener = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(request, listener).ok());
  ASSERT_NE(stack.Reserve(12, 4), "");
  while (stack.loop->Step()) {
  }
  EXPECT_EQ(listener->tokens.size(), 2u) << "its block is full";
  EXPECT_EQ(Preempted(stack), 0);
  stack.clock.Advance(std::chrono::seconds(6));  // nobody confirmed it
  stack.loop->Step();                            // sees that
  stack.RunAll();
  EXPECT_EQ(listener->tokens, Alone(request));
  stack.ExpectEmpty();
}

TEST(Preemption, ALoopThatGoesAwayCancelsWhoStopped) {
  Stack stack = SmallPool(5, kNoWatermark);
  const auto first = std::make_shared<Collector>(), second = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(Request({3, 1, 4}, 12), first).ok());
  ASSERT_TRUE(stack.Submit(Request({1, 5, 9}, 12), second).ok());
  for (int i = 0; i < 7; ++i) stack.loop->Step();
  ASSERT_EQ(Preempted(stack), 1);
  stack.loop.reset();
  EXPECT_TRUE(first->finished && second->finished);
  stack.ExpectEmpty();
}

struct Case {
  PolicyOptions policy;
  VictimRule victim;
};

class PreemptionProperty : public testing::TestWithParam<Case> {};

// Requests come all the time to a pool that is too small for what they may use, chunks and limits
// included; each says what it says alone, and everybody ends.
TEST_P(PreemptionProperty, EverybodyEndsAndSaysWhatItSaysAlone) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  Stack stack = SmallPool(
      24, GetParam().policy,
      {.max_batched_tokens = Tokens(24), .max_sequences = 8, .victim = GetParam().victim});
  std::vector<GenerationRequest> requests;
  std::vector<std::shared_ptr<Collector>> listeners;
  while (requests.size() < 16 || stack.loop->Step()) {
    stack.admission.With([](AdmissionController& controller) { controller.CheckInvariants(); });
    if (requests.size() == 16) continue;
    stack.loop->Step();
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
  EXPECT_EQ(stack.loop->Stats().preempted, Preempted(stack));
  if (GetParam().policy.policy == Policy::kWatermark) {
    EXPECT_GT(Preempted(stack), 0) << "the pool was too large to test anything";
  }
  stack.ExpectEmpty();
}

INSTANTIATE_TEST_SUITE_P(Policies, PreemptionProperty,
                         testing::Values(Case{kNoWatermark, VictimRule::kNewest},
                                         Case{kNoWatermark, VictimRule::kCheapest},
                                         Case{{.policy = Policy::kQuantile, .overflow_goal = 0.5},
                                              VictimRule::kCheapest}));

}  // namespace
}  // namespace plimsoll
