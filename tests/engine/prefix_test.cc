// What a prompt begins with is computed once and found by those who come later: whole engines say
// what they say without.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tests/engine/support/engine_run.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

EngineOptions Sharing(int64_t blocks, Eviction eviction = Eviction::kLru) {
  return {.model_path = Model().folder(),
          .device = "cpu",
          .blocks = Blocks(blocks),
          .block_tokens = Tokens(4),
          .loop = {.max_batched_tokens = Tokens(32), .max_sequences = 8},
          .eviction = eviction,
          .poison_pool = true};
}

ReservationRequest Named(const std::vector<int32_t>& prompt, int64_t count, const char* tenant) {
  ReservationRequest request{.tenant = tenant,
                             .prompt_tokens = Tokens(std::ssize(prompt)),
                             .max_new_tokens = Tokens(count)};
  // Of blocks of 4 tokens; what a hash is made of is the client's business.
  uint64_t hash = 7;
  for (size_t i = 0; i < prompt.size() / 4 * 4; ++i) {
    hash = hash * 1'000'003 + static_cast<uint64_t>(prompt[i]);
    if (i % 4 == 3) request.prefix_hashes.push_back(hash);
  }
  return request;
}

void RunAll(Engine& engine) {
  while (engine.loop().Step()) {
  }
  engine.admission().With([](AdmissionController& admission) { admission.CheckInvariants(); });
}

// By an engine that shares nothing.
std::vector<int32_t> SaidAlone(const std::vector<int32_t>& prompt, int64_t count) {
  const SimulatedClock clock;
  const auto engine = *Engine::Create(Sharing(40, Eviction::kOff), clock);
  const auto said = Start(*engine, prompt, count);
  RunAll(*engine);
  EXPECT_TRUE(said->status.ok()) << said->status;
  return said->tokens;
}

std::vector<int32_t> RandomTokens(std::mt19937& random, size_t count) {
  std::vector<int32_t> tokens;
  while (tokens.size() < count) tokens.push_back(static_cast<int32_t>(random() % 100));
  return tokens;
}

// What was computed for one is not computed again for the next of its tenant, and nobody can tell
// by the tokens.
TEST(EnginePrefix, WhatAPromptBeginsWithIsComputedOnce) {
  const SimulatedClock clock;
  const auto sharing = *Engine::Create(Sharing(40), clock);
  Engine& engine = *sharing;
  const std::vector<int32_t> twelve = {5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  std::vector<int32_t> longer = twelve;
  longer.insert(longer.end(), {17, 18, 19, 20, 21});
  struct Case {
    const std::vector<int32_t>& prompt;
    const char* tenant;
    int64_t found, computed;
  };
  for (const Case& each :
       {Case{twelve, "a", 0, 12}, Case{twelve, "a", 2, 4}, Case{longer, "a", 3, 5},
        Case{longer, "b", 0, 17}, Case{longer, "a", 4, 1}}) {
    const int64_t before = engine.loop().Stats().prompt_tokens;
    Blocks found;
    const auto said = Start(engine, Named(each.prompt, 6, each.tenant), each.prompt, &found);
    RunAll(engine);
    EXPECT_EQ(found, Blocks(each.found));
    EXPECT_EQ(engine.loop().Stats().prompt_tokens - before, each.computed);
    EXPECT_EQ(said->tokens, SaidAlone(each.prompt, 6));
  }
}

// Under a policy that promises less, with room for about half of what runs.
TEST(EnginePrefix, PrefixesAreSharedWhereRequestsStopForEachOther) {
  EngineOptions options = Sharing(24);
  options.admission.policy = {.policy = Policy::kWatermark, .watermark = 0};
  const SimulatedClock clock;
  const auto sharing = *Engine::Create(options, clock);
  Engine& engine = *sharing;
  std::vector<std::vector<int32_t>> prompts;
  for (int32_t last = 0; last < 6; ++last) {
    prompts.push_back({1, 2, 3, 4, 5, 6, 7, 8, 9, 20 + last / 2, 30 + last});
  }
  for (int round = 0; round < 3; ++round) {
    std::vector<std::shared_ptr<Collector>> said;
    for (const auto& prompt : prompts) said.push_back(Start(engine, Named(prompt, 20, ""), prompt));
    RunAll(engine);
    for (size_t i = 0; i < prompts.size(); ++i) {
      ASSERT_TRUE(said[i]->status.ok()) << said[i]->status;
      EXPECT_EQ(said[i]->tokens, SaidAlone(prompts[i], 20)) << round << " " << i;
    }
  }
  EXPECT_GT(engine.loop().Stats().preempted, 0) << "the test no longer sees one stop";
}

TEST(EnginePrefix, APromptThatIsShorterThanWhatItFoundIsRefused) {
  const SimulatedClock clock;
  const auto engine = *Engine::Create(Sharing(40), clock);
  const std::vector<int32_t> prompt = {5, 6, 7, 8, 9, 10, 11, 12, 13};
  Start(*engine, Named(prompt, 2, ""), prompt);
  RunAll(*engine);
  const auto answer = engine->admission().With(
      [&](AdmissionController& admission) { return admission.Reserve(Named(prompt, 2, "")); });
  const auto refused = engine->loop().Submit({.reservation_id = std::get<Reservation>(*answer).id,
                                              .prompt = {5, 6, 7, 8},
                                              .max_new_tokens = Tokens(1)},
                                             std::make_shared<Collector>());
  EXPECT_THAT(refused.status().message(), HasSubstr("prompt tokens=4: want more than the 8"));
}

// Behind a prompt that is shorter than was reserved lie tokens that no hash stands for.
TEST(EnginePrefix, OnlyAPromptAsLongAsItsHashesIsFoundLater) {
  const SimulatedClock clock;
  const std::vector<int32_t> prompt = {5,  6,  7,  8,  9,  10, 11, 12, 13, 14,
                                       15, 16, 17, 18, 19, 20, 21, 22, 23};
  struct Case {
    size_t submitted;
    int64_t found;
  };
  for (const Case& each : {Case{6, 0}, Case{15, 0}, Case{16, 4}, Case{18, 4}}) {
    SCOPED_TRACE(each.submitted);
    const auto engine = *Engine::Create(Sharing(40), clock);
    const auto end = prompt.begin() + static_cast<ptrdiff_t>(each.submitted);
    const std::vector<int32_t> shorter(prompt.begin(), end);
    const auto first = Start(*engine, Named(prompt, 16, ""), shorter);
    RunAll(*engine);
    EXPECT_EQ(first->tokens, SaidAlone(shorter, 16));
    Blocks found;
    const auto second = Start(*engine, Named(prompt, 6, ""), prompt, &found);
    RunAll(*engine);
    EXPECT_EQ(found, Blocks(each.found));
    EXPECT_EQ(second->tokens, SaidAlone(prompt, 6));
  }
}

// What is behind the found blocks does not fit one step.
TEST(EnginePrefix, WhatWasNotFoundIsComputedInChunks) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  EngineOptions options = Sharing(40);
  options.loop.max_batched_tokens = Tokens(5);
  const SimulatedClock clock;
  const auto engine = *Engine::Create(options, clock);
  for (int round = 0; round < 8; ++round) {
    std::vector<int32_t> prompt = RandomTokens(random, 9 + random() % 16);
    const auto whole = static_cast<int64_t>(prompt.size()) / 4;
    Start(*engine, Named(prompt, 1, ""), prompt);
    RunAll(*engine);
    const std::vector<int32_t> rest = RandomTokens(random, 16 + random() % 16);
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    const LoopStats before = engine->loop().Stats();
    Blocks found;
    const auto said = Start(*engine, Named(prompt, 6, ""), prompt, &found);
    RunAll(*engine);
    const LoopStats after = engine->loop().Stats();
    EXPECT_EQ(found, Blocks(whole));
    EXPECT_EQ(after.prompt_tokens - before.prompt_tokens, std::ssize(prompt) - 4 * whole);
    EXPECT_GE(after.steps - before.steps, 4 + 5) << "of the prompt, then of each token";
    EXPECT_EQ(said->tokens, SaidAlone(prompt, 6));
  }
}

// The prefix lies behind what another held, so its blocks move while it is held.
TEST(EnginePrefix, APoolShrinksWhileAFoundPrefixIsHeld) {
  const SimulatedClock clock;
  const auto engine = *Engine::Create(Sharing(40), clock);
  const std::vector<int32_t> other(40, 3);
  std::vector<int32_t> prompt = {5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
  Start(*engine, Named(other, 1, "other"), other);
  engine->loop().Step();
  Start(*engine, Named(prompt, 1, ""), prompt);
  RunAll(*engine);
  prompt.insert(prompt.end(), {18, 19});
  Blocks found;
  const auto holds = Start(*engine, Named(prompt, 9, ""), prompt, &found);
  EXPECT_EQ(found, Blocks(3));
  for (int i = 0; i < 3; ++i) engine->loop().Step();
  std::optional<absl::StatusOr<PoolResized>> resized;
  engine->Resize(Blocks(6), [&](const auto& outcome) { resized = outcome; });
  RunAll(*engine);
  PLIMSOLL_CHECK(resized.has_value());
  ASSERT_TRUE(resized->ok()) << resized->status();
  EXPECT_GT((*resized)->moved, Blocks(0));
  EXPECT_EQ(holds->tokens, SaidAlone(prompt, 9));
  const auto later = Start(*engine, Named(prompt, 9, ""), prompt, &found);
  RunAll(*engine);
  EXPECT_EQ(found, Blocks(3)) << "and is found where it lies now";
  EXPECT_EQ(later->tokens, holds->tokens);
}

}  // namespace
}  // namespace plimsoll
