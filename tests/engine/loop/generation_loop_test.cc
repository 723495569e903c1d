#include "engine/loop/generation_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/loop/tiny_loop.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

// Greedy decoding by hand: the whole sequence again for each new token.
std::vector<int32_t> Greedy(TinyEngine& engine, std::vector<int32_t> tokens, int64_t count) {
  std::vector<int32_t> chosen;
  for (int64_t i = 0; i < count; ++i) {
    const std::vector<float> logits = engine.LogitsOf(tokens, 64);
    const auto last = logits.end() - Model().config.vocab_size;
    chosen.push_back(static_cast<int32_t>(std::max_element(last, logits.end()) - last));
    tokens.push_back(chosen.back());
  }
  return chosen;
}

TEST(GenerationLoop, GeneratesWhatDecodingByHandGives) {
  Stack stack;
  const auto listener = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(Request({3, 1, 4, 1, 5}, 9), listener).ok());
  stack.RunAll();
  EXPECT_TRUE(listener->finished);
  EXPECT_EQ(listener->reason, FinishReason::kLength);
  EXPECT_EQ(listener->tokens, Greedy(stack.engine, {3, 1, 4, 1, 5}, 9));
  stack.ExpectEmpty();
}

TEST(GenerationLoop, StatsCountWhatWasDone) {
  Stack stack;
  ASSERT_TRUE(stack.Submit(Request({1, 2, 3}, 4), std::make_shared<Collector>()).ok());
  stack.RunAll();
  const LoopStats stats = stack.loop->Stats();
  EXPECT_EQ(stats.steps, 4);
  EXPECT_EQ(stats.prompt_tokens, 3);
  EXPECT_EQ(stats.generated_tokens, 4);
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.peak_running, 1);
}

TEST(GenerationLoop, AllLogitsHasARowForEveryPosition) {
  // Two rows of logits a step, so that the prompt comes in chunks.
  Stack stack({.decoder = {.max_batched_tokens = Tokens(64), .max_logit_rows = 2}});
  const auto listener = std::make_shared<Collector>();
  GenerationRequest request = Request({3, 1, 4, 1, 5}, 3);
  request.all_logits = true;
  ASSERT_TRUE(stack.Submit(request, listener).ok());
  stack.RunAll();
  ASSERT_EQ(listener->tokens.size(), 3u);
  std::vector<int32_t> all = {3, 1, 4, 1, 5};
  all.insert(all.end(), listener->tokens.begin(), listener->tokens.end());
  EXPECT_EQ(listener->positions.size(), 8u);
  TinyEngine alone(Model(), ReferenceOps(), {});
  EXPECT_EQ(listener->logits, alone.LogitsOf(all, 64));
  stack.ExpectEmpty();
}

TEST(GenerationLoop, StopsAtTheEndOfSequenceTokenUnlessToldNotTo) {
  TinyEngine by_hand(Model(), ReferenceOps(), {});
  const std::vector<int32_t> tokens = Greedy(by_hand, {3, 1, 4}, 6);
  const TinyModel model(TinyShape{.more = ", \"eos_token_id\": " + std::to_string(tokens[2])});
  for (const bool stop : {true, false}) {
    Stack stack({}, {}, model);
    const auto listener = std::make_shared<Collector>();
    GenerationRequest request = Request({3, 1, 4}, 6);
    request.stop_at_eos = stop;
    ASSERT_TRUE(stack.Submit(request, listener).ok());
    stack.RunAll();
    const auto first = std::find(tokens.begin(), tokens.end(), tokens[2]) + 1;
    EXPECT_EQ(listener->tokens, std::vector<int32_t>(tokens.begin(), stop ? first : tokens.end()));
    EXPECT_EQ(listener->reason, stop ? FinishReason::kStop : FinishReason::kLength);
    stack.ExpectEmpty();
  }
}

struct Job {
  std::vector<int32_t> prompt;
  int64_t max_new;
  SamplingOptions sampling;
};

std::vector<Job> RandomJobs(size_t count, std::mt19937& random) {
  std::vector<Job> jobs(count);
  for (Job& job : jobs) {
    job.prompt.resize(1 + random() % 30);
    for (int32_t& token : job.prompt) token = static_cast<int32_t>(random() % 101);
    job.max_new = 1 + static_cast<int64_t>(random() % 12);
    if (random() % 2 == 0) {
      job.sampling = {.temperature = 0.9, .top_k = 20, .top_p = 0.95, .seed = random()};
    }
  }
  return jobs;
}

std::vector<int32_t> Alone(const Job& job) {
  Stack stack;
  const auto listener = std::make_shared<Collector>();
  GenerationRequest request = Request(job.prompt, job.max_new);
  request.sampling = job.sampling;
  PLIMSOLL_CHECK(stack.Submit(request, listener).ok());
  stack.RunAll();
  return listener->tokens;
}

// Sequences join and leave all the time, in a pool of NaN too small for all of them, with prompts
// cut into chunks: what each says must not depend on the others.
TEST(GenerationLoop, SequencesThatJoinAndLeaveSayWhatTheySayAlone) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const std::vector<Job> jobs = RandomJobs(40, random);
  Stack stack({.blocks = Blocks(30)}, {.max_batched_tokens = Tokens(16), .max_sequences = 5});
  std::vector<std::shared_ptr<Collector>> listeners;
  size_t next = 0;
  while (next < jobs.size() || stack.loop->Step()) {
    stack.admission.With([](AdmissionController& controller) { controller.CheckInvariants(); });
    if (next == jobs.size() || random() % 3 == 0) continue;
    const Job& job = jobs[next];
    const std::string id = stack.Reserve(std::ssize(job.prompt), job.max_new);
    if (id.empty()) {
      stack.loop->Step();  // full just now
      continue;
    }
    GenerationRequest request = Request(job.prompt, job.max_new);
    request.reservation_id = id;
    request.sampling = job.sampling;
    listeners.push_back(std::make_shared<Collector>());
    ASSERT_TRUE(stack.loop->Submit(request, listeners.back()).ok());
    ++next;
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_TRUE(listeners[i]->finished);
    EXPECT_EQ(listeners[i]->tokens, Alone(jobs[i])) << "job " << i;
  }
  EXPECT_GT(stack.loop->Stats().peak_running, 1);
  EXPECT_LE(stack.loop->Stats().peak_running, 5);
  stack.ExpectEmpty();
}

TEST(GenerationLoop, CancelEndsAtTheNextStepAndGivesBlocksBack) {
  Stack stack;
  const auto stays = std::make_shared<Collector>(), goes = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(Request({1, 2, 3}, 8), stays).ok());
  const auto ticket = stack.Submit(Request({4, 5, 6}, 20), goes);
  ASSERT_TRUE(ticket.ok());
  stack.loop->Step();
  stack.loop->Step();
  stack.loop->Cancel(*ticket);
  EXPECT_FALSE(goes->finished);
  stack.loop->Step();
  EXPECT_TRUE(goes->finished);
  EXPECT_EQ(goes->reason, FinishReason::kCancelled);
  EXPECT_TRUE(goes->status.ok());
  EXPECT_EQ(goes->tokens.size(), 2u);
  EXPECT_EQ(stack.engine.cache->sequences(), 1);
  stack.loop->Cancel(*ticket);  // harmless
  stack.loop->Cancel(999);
  stack.RunAll();
  TinyEngine by_hand(Model(), ReferenceOps(), {});
  EXPECT_EQ(stays->tokens, Greedy(by_hand, {1, 2, 3}, 8));
  stack.ExpectEmpty();
}

TEST(GenerationLoop, ReleasingTheReservationEndsTheGeneration) {
  Stack stack;
  const auto listener = std::make_shared<Collector>();
  GenerationRequest request = Request({1, 2, 3}, 30);
  request.reservation_id = stack.Reserve(3, 30);
  ASSERT_TRUE(stack.loop->Submit(request, listener).ok());
  stack.loop->Step();
  ASSERT_TRUE(stack.admission
                  .With([&](AdmissionController& controller) {
                    return controller.Release(request.reservation_id);
                  })
                  .ok());
  stack.loop->Step();
  EXPECT_TRUE(listener->finished);
  EXPECT_EQ(listener->reason, FinishReason::kCancelled);
  stack.ExpectEmpty();
}

TEST(GenerationLoop, BlocksAreFreeWhenTheEndIsHeard) {
  Stack stack;
  class Checker final : public GenerationListener {
   public:
    explicit Checker(Stack& stack) : stack_(stack) {}
    void OnToken(int32_t) override {}
    void OnFinished(FinishReason, const absl::Status&) override { stack_.ExpectEmpty(); }
    Stack& stack_;
  };
  GenerationRequest request = Request({1, 2}, 2);
  request.reservation_id = stack.Reserve(2, 2);
  ASSERT_TRUE(stack.loop->Submit(request, std::make_shared<Checker>(stack)).ok());
  stack.RunAll();
}

TEST(GenerationLoop, RunServesSubmissionsFromOtherThreadsAndStopCancelsTheRest) {
  Stack stack({.blocks = Blocks(64)});
  std::thread runner([&] { stack.loop->Run(); });
  std::vector<std::shared_ptr<Collector>> listeners;
  for (int i = 0; i < 6; ++i) {
    listeners.push_back(std::make_shared<Collector>());
    ASSERT_TRUE(stack.Submit(Request({1 + i, 2, 3}, 5), listeners.back()).ok());
  }
  for (const auto& each : listeners) {
    while (!each->finished) std::this_thread::yield();
    EXPECT_EQ(each->tokens.size(), 5u);
  }
  const auto endless = std::make_shared<Collector>(1000);
  ASSERT_TRUE(stack.Submit(Request({1}, 200), endless).ok());
  stack.loop->Stop();
  runner.join();
  EXPECT_TRUE(endless->finished);
  stack.ExpectEmpty();
  const absl::Status late = stack.Submit(Request({1}, 2), std::make_shared<Collector>()).status();
  EXPECT_EQ(late.code(), absl::StatusCode::kUnavailable);
  stack.ExpectEmpty();
}

TEST(GenerationLoop, WhatStillRunsWhenTheLoopGoesAwayIsCancelled) {
  Stack stack;
  const auto running = std::make_shared<Collector>(), waiting = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(Request({1}, 20), running).ok());
  stack.loop->Step();
  ASSERT_TRUE(stack.Submit(Request({1}, 20), waiting).ok());
  stack.loop.reset();
  EXPECT_EQ(running->reason, FinishReason::kCancelled);
  EXPECT_TRUE(running->finished && waiting->finished);
  stack.ExpectEmpty();
}

// A decoder whose passes fail on demand.
class FailingDecoder final : public Decoder {
 public:
  explicit FailingDecoder(Decoder& base) : base_(base) {}
  absl::StatusOr<std::span<const float>> Forward(std::span<const BatchEntry> batch) override {
    if (fail) return absl::InternalError("injected");
    return base_.Forward(batch);
  }
  absl::StatusOr<Drawn> ForwardAndDraw(std::span<const BatchEntry> batch) override {
    if (fail) return absl::InternalError("injected");
    return base_.ForwardAndDraw(batch);
  }
  const ModelConfig& model() const override { return base_.model(); }
  const Options& options() const override { return base_.options(); }
  Bytes buffer_bytes() const override { return base_.buffer_bytes(); }
  Bytes graph_bytes() const override { return base_.graph_bytes(); }
  bool fail = false;

 private:
  Decoder& base_;
};

TEST(GenerationLoop, AFailedStepIsReportedAndLeavesNothingBehind) {
  Stack stack;
  FailingDecoder decoder(*stack.engine.decoder);
  stack.loop = std::make_unique<GenerationLoop>(decoder, stack.admission, LoopOptions{});
  const auto listener = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(Request({1, 2}, 5), listener).ok());
  stack.loop->Step();
  decoder.fail = true;
  stack.loop->Step();
  EXPECT_TRUE(listener->finished);
  EXPECT_EQ(listener->status.message(), "injected");
  stack.ExpectEmpty();
  decoder.fail = false;
  const auto next = std::make_shared<Collector>();
  ASSERT_TRUE(stack.Submit(Request({1, 2}, 5), next).ok());
  stack.RunAll();
  EXPECT_EQ(next->tokens.size(), 5u);
}

TEST(GenerationLoop, ADeviceThatFailsAgainAndAgainIsGivenUp) {
  Stack stack;
  FailingDecoder decoder(*stack.engine.decoder);
  stack.loop =
      std::make_unique<GenerationLoop>(decoder, stack.admission, LoopOptions{.max_sequences = 1});
  std::vector<std::shared_ptr<Collector>> listeners;
  for (int i = 0; i < GenerationLoop::kMostFailures + 2; ++i) {
    listeners.push_back(std::make_shared<Collector>());
    ASSERT_TRUE(stack.Submit(Request({1, 2}, 5), listeners.back()).ok());
  }
  decoder.fail = true;
  for (int i = 0; i < GenerationLoop::kMostFailures; ++i) {
    EXPECT_TRUE(stack.loop->Failure().ok()) << "after " << i << " failures";
    stack.loop->Step();
  }
  const std::string why =
      "the device failed in 3 steps in a row, the last with: INTERNAL: injected";
  EXPECT_EQ(stack.loop->Failure(), absl::UnavailableError(why));
  decoder.fail = false;
  EXPECT_FALSE(stack.loop->Step()) << "it is not asked again";
  for (size_t i = 0; i < listeners.size(); ++i) {
    EXPECT_TRUE(listeners[i]->finished);
    EXPECT_EQ(listeners[i]->status.message(), i < 3 ? "injected" : why) << i;
  }
  EXPECT_EQ(stack.loop->Stats().failed_steps, 3);
  EXPECT_EQ(stack.Submit(Request({1, 2}, 5), listeners[0]).status().message(), why);
}

// As one that runs out of memory with some batches, and not with others.
TEST(GenerationLoop, FailuresWithAGoodStepBetweenThemGiveNothingUp) {
  Stack stack;
  FailingDecoder decoder(*stack.engine.decoder);
  stack.loop = std::make_unique<GenerationLoop>(decoder, stack.admission, LoopOptions{});
  for (int i = 0; i < 3 * GenerationLoop::kMostFailures; ++i) {
    const auto listener = std::make_shared<Collector>();
    ASSERT_TRUE(stack.Submit(Request({1, 2}, 5), listener).ok());
    decoder.fail = i % GenerationLoop::kMostFailures != 0;
    stack.RunAll();
    EXPECT_EQ(listener->status.ok(), !decoder.fail);
  }
  EXPECT_TRUE(stack.loop->Failure().ok());
  EXPECT_EQ(stack.loop->Stats().failed_steps, 6);
  stack.ExpectEmpty();
}

struct BadRequest {
  const char* what;
  GenerationRequest request;
  const char* says;
};

TEST(GenerationLoop, BadRequestsAreRefusedByFieldAndTakeNothing) {
  Stack stack({.blocks = Blocks(200)});
  const std::string id = stack.Reserve(4, 4);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto with = [&](const SamplingOptions& sampling) {
    GenerationRequest request = Request({1}, 1);
    request.sampling = sampling;
    return request;
  };
  std::vector<BadRequest> cases = {
      {"empty prompt", Request({}, 1), "prompt"},
      {"no new tokens", Request({1}, 0), "max_new_tokens=0"},
      {"huge count", Request({1}, int64_t{1} << 62), "max_new_tokens=4611686018427387904"},
      {"past the context", Request({1}, 512), "max_new_tokens=512: want 1 to 511"},
      {"prompt past the context", Request(std::vector<int32_t>(512, 1), 1), "prompt tokens=512"},
      {"token past the vocabulary", Request({1, 101}, 1), "prompt[1]=101"},
      {"negative token", Request({-1}, 1), "prompt[0]=-1"},
      {"prompt past the reservation", Request({1, 1, 1, 1, 1}, 1), "prompt_tokens=4"},
      {"total past the reservation", Request({1, 1}, 7), "max_new_tokens=7: want at most 6"},
      {"temperature", with({.temperature = -1}), "temperature=-1"},
      {"temperature that is no number", with({.temperature = nan}), "temperature="},
      {"top_k", with({.top_k = -1}), "top_k=-1"},
      {"top_p of 0", with({.top_p = 0}), "top_p=0"},
      {"top_p over 1", with({.top_p = 1.5}), "top_p=1.5"},
      {"top_p that is no number", with({.top_p = nan}), "top_p="},
  };
  for (BadRequest& bad : cases) {
    SCOPED_TRACE(bad.what);
    bad.request.reservation_id = id;
    const absl::Status status =
        stack.loop->Submit(bad.request, std::make_shared<Collector>()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.says));
    EXPECT_EQ(stack.engine.cache->sequences(), 0);
  }
}

TEST(GenerationLoop, AReservationServesOneGeneration) {
  Stack stack;
  GenerationRequest request = Request({1}, 4);
  request.reservation_id = stack.Reserve(1, 4);
  ASSERT_TRUE(stack.loop->Submit(request, std::make_shared<Collector>()).ok());
  EXPECT_EQ(stack.loop->Submit(request, std::make_shared<Collector>()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  request.reservation_id = "e-12345";
  EXPECT_EQ(stack.loop->Submit(request, std::make_shared<Collector>()).status().code(),
            absl::StatusCode::kNotFound);
  stack.RunAll();
  stack.ExpectEmpty();
}

}  // namespace
}  // namespace plimsoll
