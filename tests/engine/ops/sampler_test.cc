#include "engine/ops/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>

namespace plimsoll {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

int32_t Sample(const std::vector<float>& logits, const Sampling& sampling) {
  std::vector<Candidate> scratch;
  return SampleToken(logits, DrawOf(sampling), scratch);
}

// How often each token comes out of `draws` draws with steps 0, 1, 2, ...
std::map<int32_t, int> Counts(const std::vector<float>& logits, Sampling sampling, int draws) {
  std::map<int32_t, int> counts;
  std::vector<Candidate> scratch;
  for (int i = 0; i < draws; ++i) {
    sampling.step = static_cast<uint64_t>(i);
    ++counts[SampleToken(logits, DrawOf(sampling), scratch)];
  }
  return counts;
}

std::set<int32_t> Tokens(const std::map<int32_t, int>& counts) {
  std::set<int32_t> tokens;
  for (const auto& [token, count] : counts) tokens.insert(token);
  return tokens;
}

TEST(Sampler, GreedyTakesTheFirstLargest) {
  EXPECT_EQ(Sample({1, 3, 2}, {}), 1);
  EXPECT_EQ(Sample({1, 3, 3}, {}), 1);
  EXPECT_EQ(Sample({-kInfinity, -2, kNan}, {}), 1);
  EXPECT_EQ(Sample({kNan, -5}, {}), 1);
}

TEST(Sampler, DrawsNothingWhereNoLogitIsANumber) {
  EXPECT_EQ(Sample({kNan, kNan}, {}), kNoToken);
  EXPECT_EQ(Sample({kNan, kNan}, {.temperature = 1, .top_k = 1, .top_p = 0.5}), kNoToken);
  EXPECT_EQ(Sample({kNan, -kInfinity}, {.temperature = 1}), 1);
}

TEST(Sampler, TheTwoZerosAreEqual) { EXPECT_EQ(Sample({-1, -0.0f, 0.0f}, {}), 1); }

TEST(Sampler, TemperaturesFarOutMeanWhatTheySay) {
  const std::vector<float> logits = {1, 1.0001f, -kInfinity, 1.0001f};
  EXPECT_THAT(Tokens(Counts(logits, {.temperature = 1e-300}, 200)), testing::ElementsAre(1, 3));
  EXPECT_THAT(Tokens(Counts(logits, {.temperature = 1e300}, 200)), testing::ElementsAre(0, 1, 3));
  // The order of logits that a high temperature makes equally likely is still theirs.
  EXPECT_THAT(Tokens(Counts(logits, {.temperature = 1e300, .top_k = 2}, 200)),
              testing::ElementsAre(1, 3));
}

// 2^40 at the peak; a quarter of it two octaves below; nothing from forty octaves on.
TEST(SamplingRule, WeighsByHalves) {
  EXPECT_EQ(WeightOf(3, 3, 1), uint64_t{1} << 40);
  EXPECT_EQ(WeightOf(1, 3, 1), uint64_t{1} << 38);
  EXPECT_EQ(WeightOf(2, 3, 2), uint64_t{1} << 38);
  EXPECT_EQ(WeightOf(-36, 3, 1), 2u);
  EXPECT_EQ(WeightOf(-37, 3, 1), 0u);
  EXPECT_EQ(WeightOf(-kInfinity, 3, 1), 0u);
  EXPECT_EQ(WeightOf(kNan, 3, 1), 0u);
}

TEST(SamplingRule, WeighsAsAPowerOfTwoAndNeverMoreForLess) {
  uint64_t before = uint64_t{1} << 40;
  for (float octaves = 0; octaves < 20; octaves += 0.0137f) {
    const uint64_t weight = WeightOf(-octaves, 0, 1);
    const double want = std::exp2(-double{octaves});
    EXPECT_NEAR(static_cast<double>(weight) * 0x1p-40, want, 2e-7 * want + 0x1p-40) << octaves;
    EXPECT_LE(weight, before) << octaves;
    before = weight;
  }
}

TEST(SamplingRule, OrdersAsNumbersDo) {
  const std::vector<float> rising = {-kInfinity, -1e30f, -1, -1e-40f, 0, 1e-40f, 2, kInfinity};
  for (size_t i = 0; i + 1 < rising.size(); ++i) {
    EXPECT_LT(OrderOf(rising[i]), OrderOf(rising[i + 1])) << rising[i];
    EXPECT_EQ(LogitOf(OrderOf(rising[i])), rising[i]);
    EXPECT_EQ(IsOrderOfFinite(OrderOf(rising[i])), std::isfinite(rising[i]));
  }
  EXPECT_EQ(OrderOf(-0.0f), OrderOf(0.0f));
  EXPECT_EQ(OrderOf(kNan), 0u);
  EXPECT_EQ(OrderOf(-kNan), 0u);
}

TEST(SamplingRule, MultipliesTo128Bits) {
  constexpr uint64_t kAll = ~uint64_t{0};
  EXPECT_EQ(MultiplyHigh(kAll, kAll), kAll - 1);
  EXPECT_EQ(MultiplyHigh(uint64_t{1} << 63, 6), 3u);
  EXPECT_EQ(MultiplyHigh(0x123456789abcdef0, 0xfedcba9876543210), 0x121fa00ad77d7422u);
  EXPECT_EQ(NucleusWeight(1000, kWholeShare / 2), 500u);
  EXPECT_EQ(NucleusWeight(1000, 1), 1u);
}

TEST(Sampler, AnInfiniteLogitWins) { EXPECT_EQ(Sample({0, kInfinity, 1}, {.temperature = 1}), 1); }

TEST(Sampler, TheSameSeedAndStepGiveTheSameToken) {
  const std::vector<float> logits(1000, 0.0f);
  std::set<int32_t> by_step;
  std::set<int32_t> by_seed;
  for (uint64_t i = 0; i < 100; ++i) {
    const Sampling step = {.temperature = 1, .seed = 7, .step = i};
    EXPECT_EQ(Sample(logits, step), Sample(logits, step));
    by_step.insert(Sample(logits, step));
    by_seed.insert(Sample(logits, {.temperature = 1, .seed = i, .step = 7}));
  }
  EXPECT_GT(by_step.size(), 80u);  // 95 expected of 100 draws from 1000
  EXPECT_GT(by_seed.size(), 80u);
}

TEST(Sampler, TopKKeepsTheLargest) {
  const std::vector<float> logits = {0, 2, 1, 2, 1, 0};
  EXPECT_THAT(Tokens(Counts(logits, {.temperature = 5, .top_k = 2}, 500)),
              testing::ElementsAre(1, 3));
  // Two tie for third: the lower token is in.
  EXPECT_THAT(Tokens(Counts(logits, {.temperature = 5, .top_k = 3}, 500)),
              testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(Tokens(Counts(logits, {.temperature = 5, .top_k = 99}, 500)).size(), 6u);
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  // Probabilities 0.4, 0.3, 0.2, 0.1.
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f),
                                     std::log(0.3f)};
  const auto kept = [&](double top_p) {
    return Tokens(Counts(logits, {.temperature = 1, .top_p = top_p}, 500));
  };
  EXPECT_THAT(kept(0.01), testing::ElementsAre(1));
  EXPECT_THAT(kept(0.39), testing::ElementsAre(1));
  EXPECT_THAT(kept(0.5), testing::ElementsAre(1, 3));
  EXPECT_THAT(kept(0.85), testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(kept(0.95), testing::ElementsAre(0, 1, 2, 3));
}

TEST(Sampler, TopPSharesOutWhatTopKKept) {
  // Of 0.4, 0.3, 0.2, 0.1 top 2 leaves 4/7 and 3/7; 0.5 of that is the first alone.
  const std::vector<float> logits = {std::log(0.4f), std::log(0.3f), std::log(0.2f),
                                     std::log(0.1f)};
  EXPECT_THAT(Tokens(Counts(logits, {.temperature = 1, .top_k = 2, .top_p = 0.5}, 500)),
              testing::ElementsAre(0));
}

TEST(Sampler, FrequenciesFollowTheTemperedDistribution) {
  constexpr int kDraws = 20000;
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f};
  for (const double temperature : {0.5, 1.0, 2.0}) {
    double total = 0;
    for (const float logit : logits) total += std::exp(logit / temperature);
    std::map<int32_t, int> counts = Counts(logits, {.temperature = temperature}, kDraws);
    for (int32_t token = 0; token < 4; ++token) {
      const double p = std::exp(logits[static_cast<size_t>(token)] / temperature) / total;
      const double sigma = std::sqrt(kDraws * p * (1 - p));
      EXPECT_NEAR(counts[token], kDraws * p, 5 * sigma) << temperature << " token " << token;
    }
  }
}

// The simplest nucleus: sort everything and add up.
std::set<int32_t> NaiveNucleus(const std::vector<float>& logits, double top_p) {
  std::vector<std::pair<double, int32_t>> order;
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp(double{logits[i]});
    order.emplace_back(-weight, static_cast<int32_t>(i));
    total += weight;
  }
  std::sort(order.begin(), order.end());
  std::set<int32_t> kept;
  double sum = 0;
  for (const auto& [weight, token] : order) {
    if (sum >= top_p * total) break;
    sum -= weight;
    kept.insert(token);
  }
  return kept;
}

TEST(SamplerProperty, NothingOutsideTheNucleusIsEverDrawn) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  std::normal_distribution<float> normal(0.0f, 2.0f);
  for (int round = 0; round < 50; ++round) {
    std::vector<float> logits(1 + rng() % 60);
    for (float& logit : logits) logit = normal(rng);
    const double top_p = std::uniform_real_distribution<double>(0.05, 0.99)(rng);
    const std::set<int32_t> nucleus = NaiveNucleus(logits, top_p);
    for (const auto& [token, count] : Counts(logits, {.temperature = 1, .top_p = top_p}, 200)) {
      EXPECT_TRUE(nucleus.contains(token)) << token << " of " << logits.size() << " at " << top_p;
    }
  }
}

TEST(SamplerDeathTest, RefusesOptionsThatMeanNothing) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(Sample({1}, {.temperature = -1}), "temperature");
  EXPECT_DEATH(Sample({1}, {.temperature = 1, .top_p = 0}), "top_p");
  EXPECT_DEATH(Sample({1}, {.temperature = 1, .top_k = -1}), "top_k");
  EXPECT_DEATH(Sample({}, {}), "logits.empty");
}

}  // namespace
}  // namespace plimsoll
