// Experts: which of them a row goes to, and what they make of it together.
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "tests/engine/ops/problems.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

// Sums of a few hundred products in another order.
constexpr double kTolerance = 2e-6;

class EveryMixture : public EveryTable {};

struct Routed {
  std::vector<int32_t> chosen;
  std::vector<float> shares;
};

Routed RouteWith(const Ops& ops, const std::vector<float>& logits, int64_t experts, int64_t active,
                 bool renormalise, const std::vector<float>& shared = {}) {
  const int64_t rows = std::ssize(logits) / experts;
  const size_t choices = static_cast<size_t>(rows * (active + (shared.empty() ? 0 : 1)));
  Routed routed{std::vector<int32_t>(choices, -1), std::vector<float>(choices, NAN)};
  EXPECT_TRUE(ops.route({.logits = logits.data(),
                         .shared = shared.empty() ? nullptr : shared.data(),
                         .rows = rows,
                         .experts = experts,
                         .active = active,
                         .renormalise = renormalise,
                         .chosen = routed.chosen.data(),
                         .shares = routed.shares.data()})
                  .ok());
  return routed;
}

const float kLn2 = std::log(2.0f);

// Logits ln 1, ln 4, ln 2, ln 1: weights 1, 4, 2, 1 of 8.
TEST_P(EveryMixture, RouteTakesTheLargestByTheirShare) {
  const std::vector<float> logits = {0, 2 * kLn2, kLn2, 0};
  const Routed of_all = RouteWith(*GetParam(), logits, 4, 2, /*renormalise=*/false);
  EXPECT_THAT(of_all.chosen, ElementsAre(1, 2));
  EXPECT_THAT(of_all.shares, Pointwise(FloatNear(1e-6f), {0.5f, 0.25f}));
  const Routed of_chosen = RouteWith(*GetParam(), logits, 4, 2, /*renormalise=*/true);
  EXPECT_THAT(of_chosen.chosen, ElementsAre(1, 2));
  EXPECT_THAT(of_chosen.shares, Pointwise(FloatNear(1e-6f), {2 / 3.0f, 1 / 3.0f}));
}

TEST_P(EveryMixture, OfEqualLogitsTheFirstIsTaken) {
  EXPECT_THAT(RouteWith(*GetParam(), {1, 1, 1, 1}, 4, 2, true).chosen, ElementsAre(0, 1));
  EXPECT_THAT(RouteWith(*GetParam(), {1, 3, 1, 3, 1}, 5, 3, true).chosen, ElementsAre(1, 3, 0));
  // A logit that is no number does not keep the choices from being experts.
  EXPECT_THAT(RouteWith(*GetParam(), {NAN, NAN, NAN}, 3, 2, true).chosen, ElementsAre(0, 1));
}

TEST_P(EveryMixture, ASharedExpertIsOneChoiceMore) {
  const Routed routed = RouteWith(*GetParam(), {0, 9, 9, 0}, 2, 1, true, {0, kLn2});
  EXPECT_THAT(routed.chosen, ElementsAre(1, 2, 0, 2));
  EXPECT_THAT(routed.shares, Pointwise(FloatNear(1e-6f), {1.0f, 0.5f, 1.0f, 2 / 3.0f}));
}

// Sorted by logit, in double, for any shape; logits from so few values that many are equal.
TEST_P(EveryMixture, RouteAgreesWithSorting) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (int round = 0; round < 200; ++round) {
    const int64_t experts = 1 + static_cast<int64_t>(rng() % 12);
    const int64_t active = 1 + static_cast<int64_t>(rng() % static_cast<uint64_t>(experts));
    std::vector<float> logits(static_cast<size_t>(experts));
    for (float& each : logits) each = static_cast<float>(rng() % 6) / 2;
    std::vector<int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    order.resize(static_cast<size_t>(active));
    double sum = 0;
    for (const float each : logits) sum += std::exp(double{each});
    const Routed got = RouteWith(*GetParam(), logits, experts, active, /*renormalise=*/false);
    EXPECT_EQ(got.chosen, order);
    for (size_t i = 0; i < order.size(); ++i) {
      EXPECT_NEAR(got.shares[i], std::exp(double{logits[static_cast<size_t>(order[i])]}) / sum,
                  1e-6);
    }
  }
}

// Experts of random weights and the memory that they are run in, full of NaN.
struct ExpertsProblem {
  int64_t hidden, rows, choices;
  std::vector<Stored> stored;
  std::vector<ExpertWeights> experts;
  std::vector<float> x, out;
  std::vector<float> gathered, gate, up, mixed;
  std::vector<int32_t> picked;

  ExpertsProblem(ElementType type, int64_t its_hidden, const std::vector<int64_t>& widths,
                 int64_t its_rows, int64_t its_choices, std::mt19937& rng)
      : hidden(its_hidden), rows(its_rows), choices(its_choices) {
    stored.reserve(3 * widths.size());  // views point into them
    const auto matrix = [&](int64_t out_dims, int64_t in_dims) {
      stored.emplace_back(type, RandomFloats(out_dims * in_dims, rng));
      return stored.back().View(out_dims, in_dims);
    };
    for (const int64_t width : widths) {
      experts.push_back({matrix(width, hidden), matrix(width, hidden), matrix(hidden, width)});
    }
    const int64_t widest = *std::max_element(widths.begin(), widths.end());
    x = RandomFloats(rows * hidden, rng);
    out = RandomFloats(rows * hidden, rng);
    gathered.assign(x.size(), NAN);
    mixed.assign(x.size(), NAN);
    gate.assign(static_cast<size_t>(rows * widest), NAN);
    up = gate;
    picked.assign(static_cast<size_t>(rows), -1);
  }

  ExpertsArgs Args(const Routed& routed, std::vector<float>& into) {
    return {.x = x.data(),
            .chosen = routed.chosen.data(),
            .shares = routed.shares.data(),
            .rows = rows,
            .choices = choices,
            .experts = experts.data(),
            .count = std::ssize(experts),
            .activation = Activation::kSilu,
            .scratch = {.gathered = gathered.data(),
                        .gate = gate.data(),
                        .up = up.data(),
                        .mixed = mixed.data(),
                        .picked = picked.data()},
            .out = into.data()};
  }
  std::vector<float> Run(const Ops& ops, const Routed& routed) {
    std::vector<float> result = out;
    EXPECT_TRUE(ops.experts(Args(routed, result)).ok());
    return result;
  }
};

// Two experts of one value between: x = 2, so the first makes 3 * silu(2) * 4 and the second
// 5 * silu(4) * 2.
TEST_P(EveryMixture, ExpertsAddWhatTheyMakeByShare) {
  std::mt19937 rng = SeededGenerator();
  ExpertsProblem problem(ElementType::kFp32, 1, {1, 1}, 1, 2, rng);
  const Stored one(ElementType::kFp32, {1}), two(ElementType::kFp32, {2});
  const Stored three(ElementType::kFp32, {3}), five(ElementType::kFp32, {5});
  problem.experts = {{one.View(1, 1), two.View(1, 1), three.View(1, 1)},
                     {two.View(1, 1), one.View(1, 1), five.View(1, 1)}};
  problem.x = {2};
  problem.out = {100};
  const auto silu = [](float v) { return v / (1 + std::exp(-v)); };
  const float want = 100 + 0.75f * 3 * silu(2) * 4 + 0.25f * 5 * silu(4) * 2;
  EXPECT_THAT(problem.Run(*GetParam(), {{0, 1}, {0.75f, 0.25f}}),
              Pointwise(FloatNear(1e-4f), {want}));
  EXPECT_THAT(problem.Run(*GetParam(), {{1, 0}, {0.25f, 0.75f}}),
              Pointwise(FloatNear(1e-4f), {want}));
}

TEST_P(EveryMixture, ExpertsAgreeWhoeverIsChosen) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kStorageTypes) {
    for (const int64_t rows : {0, 1, 2, 7, 25}) {
      // The last is another width, as a shared expert may be.
      ExpertsProblem problem(type, 33, {17, 17, 17, 17, 40}, rows, 3, rng);
      const Routed routed = RouteWith(ReferenceOps(), RandomFloats(rows * 4, rng), 4, 2, true,
                                      rows == 0 ? std::vector<float>{0} : RandomFloats(rows, rng));
      SCOPED_TRACE(testing::Message() << NameOf(type) << " " << rows);
      EXPECT_LT(
          RelativeDistance(problem.Run(*GetParam(), routed), problem.Run(ReferenceOps(), routed)),
          kTolerance);
    }
  }
}

// One expert has all the rows and the others none; their weights, which are NaN, are not read.
TEST_P(EveryMixture, AnExpertThatNobodyChoseIsNotRead) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  ExpertsProblem problem(ElementType::kFp32, 16, {24, 24, 24}, 5, 1, rng);
  for (size_t i : {0u, 1u, 2u, 6u, 7u, 8u}) {
    std::fill(problem.stored[i].bytes.begin(), problem.stored[i].bytes.end(), std::byte{0xff});
  }
  const Routed all_to_one{{1, 1, 1, 1, 1}, {1, 1, 0.5f, 1, 0}};
  const std::vector<float> got = problem.Run(*GetParam(), all_to_one);
  EXPECT_LT(RelativeDistance(got, problem.Run(ReferenceOps(), all_to_one)), kTolerance);
  // The last row gave its expert no share.
  EXPECT_TRUE(std::equal(got.end() - 16, got.end(), problem.out.end() - 16));
}

// Bit for bit what each row gets alone.
TEST_P(EveryMixture, ExpertsDoNotMixRows) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  ExpertsProblem all(ElementType::kBf16, 40, {24, 24, 24, 24}, 30, 2, rng);
  const Routed routed = RouteWith(ReferenceOps(), RandomFloats(30 * 4, rng), 4, 2, true);
  const std::vector<float> together = all.Run(*GetParam(), routed);
  for (size_t r = 0; r < 30; ++r) {
    ExpertsArgs args = all.Args(routed, all.out);
    args.x += r * 40;
    args.out += r * 40;
    args.chosen += r * 2;
    args.shares += r * 2;
    args.rows = 1;
    ASSERT_TRUE(GetParam()->experts(args).ok());
  }
  EXPECT_EQ(all.out, together);
}

INSTANTIATE_TEST_SUITE_P(Built, EveryMixture, testing::ValuesIn(AllOps()), TableName);

TEST(ExpertsDeathTest, WhatIsNoExpertAborts) {
  std::mt19937 rng = SeededGenerator();
  ExpertsProblem problem(ElementType::kFp32, 4, {4, 4}, 1, 1, rng);
  EXPECT_DEATH(problem.Run(CpuOps(), {{2}, {1}}), "check failed");
  EXPECT_DEATH(problem.Run(CpuOps(), {{-1}, {1}}), "check failed");
  problem.experts[1].down = problem.stored[5].View(2, 8);
  EXPECT_DEATH(problem.Run(CpuOps(), {{0}, {1}}), "check failed");
  EXPECT_DEATH(RouteWith(CpuOps(), {1, 2}, 2, 3, true), "check failed");
  std::vector<float> x = {1};
  EXPECT_DEATH(CpuOps().softcap({.x = x.data(), .count = 1, .cap = 0}).IgnoreError(),
               "check failed");
}

}  // namespace
}  // namespace plimsoll
