#include "engine/loop/step_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace plimsoll {
namespace {

SequenceProgress Prompt(int64_t pending, bool all_logits = false) {
  return {.pending = pending, .decoding = false, .all_logits = all_logits};
}
SequenceProgress Decoding() { return {.pending = 1, .decoding = true, .all_logits = false}; }

// "sequence:tokens", with a * where the next token can be chosen.
std::string Planned(const std::vector<SequenceProgress>& sequences, StepLimits limits) {
  std::vector<StepShare> shares;
  PlanStep(sequences, limits, shares);
  std::string text;
  for (const StepShare& share : shares) {
    text += (text.empty() ? "" : " ") + std::to_string(share.sequence) + ":" +
            std::to_string(share.tokens) + (share.last ? "*" : "");
  }
  return text;
}

TEST(StepPlan, DecodingComesFirstAndPromptsFillTheRest) {
  EXPECT_EQ(Planned({Prompt(7), Decoding(), Prompt(4), Decoding()}, {10, 8}), "0:7* 1:1* 2:1 3:1*");
}

TEST(StepPlan, APromptLongerThanAStepIsCut) { EXPECT_EQ(Planned({Prompt(25)}, {10, 1}), "0:10"); }

TEST(StepPlan, APromptThatFindsNoRowsWaits) {
  EXPECT_EQ(Planned({Prompt(9), Prompt(5)}, {9, 2}), "0:9*");
}

TEST(StepPlan, SequencesThatWantAllLogitsShareTheRowsOfLogits) {
  // Five rows of logits, one kept for each of three sequences: two to spare.
  EXPECT_EQ(Planned({Prompt(9, true), Prompt(9, true), Prompt(9)}, {100, 5}), "0:3 1:1 2:9*");
}

TEST(StepPlan, NothingToDoPlansNothing) { EXPECT_EQ(Planned({}, {4, 4}), ""); }

TEST(StepPlanDeathTest, MoreSequencesThanRowsAborts) {
  EXPECT_DEATH(Planned({Decoding(), Decoding()}, {1, 2}), "check failed");
}

TEST(StepPlanProperty, LimitsHoldAndNoRowIsWasted) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  for (int round = 0; round < 2000; ++round) {
    std::vector<SequenceProgress> sequences(random() % 8);
    int64_t pending = 0;
    for (SequenceProgress& each : sequences) {
      each = random() % 2 == 0 ? Decoding() : Prompt(1 + random() % 20, random() % 3 == 0);
      pending += each.pending;
    }
    const int64_t count = std::ssize(sequences);
    const StepLimits limits = {std::max<int64_t>(1, count + static_cast<int64_t>(random() % 20)),
                               std::max<int64_t>(1, count + static_cast<int64_t>(random() % 5))};
    std::vector<StepShare> shares;
    PlanStep(sequences, limits, shares);
    int64_t rows = 0, logit_rows = 0;
    bool held_back = false;  // by rows of logits
    for (const StepShare& share : shares) {
      const SequenceProgress& each = sequences[share.sequence];
      EXPECT_GE(share.tokens, 1);
      EXPECT_LE(share.tokens, each.pending);
      EXPECT_EQ(share.last, share.tokens == each.pending);
      rows += share.tokens;
      logit_rows += each.all_logits ? share.tokens : (share.last ? 1 : 0);
      held_back = held_back || (each.all_logits && !share.last);
    }
    EXPECT_LE(rows, limits.rows);
    EXPECT_LE(logit_rows, limits.logit_rows);
    if (!held_back) {
      EXPECT_EQ(rows, std::min(pending, limits.rows));
    }
    for (size_t i = 0; i < sequences.size(); ++i) {
      if (!sequences[i].decoding) continue;
      EXPECT_TRUE(std::any_of(shares.begin(), shares.end(),
                              [&](const StepShare& share) { return share.sequence == i; }));
    }
  }
}

}  // namespace
}  // namespace plimsoll
