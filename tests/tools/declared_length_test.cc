#include "tools/replay/declared_length.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

Workload Outputs(const std::vector<int64_t>& tokens) {
  Workload workload;
  for (const int64_t output : tokens) {
    workload.requests.push_back({{}, Tokens(1), Tokens(output), {}, {}});
  }
  return workload;
}

std::vector<int64_t> Declared(const std::vector<int64_t>& outputs, const std::string& rule,
                              uint64_t seed = 0) {
  const auto declared = ParseDeclaredLength(rule, "--declare");
  EXPECT_TRUE(declared.ok()) << declared.status();
  std::vector<int64_t> lengths;
  for (const Tokens n : DeclaredLengths(Outputs(outputs), *declared, seed)) {
    lengths.push_back(n.value());
  }
  return lengths;
}

using Lengths = std::vector<int64_t>;

TEST(DeclaredLength, RulesWithoutChance) {
  const std::vector<int64_t> outputs = {0, 1, 5, 100, 128};
  EXPECT_EQ(Declared(outputs, "true"), outputs);
  EXPECT_EQ(Declared(outputs, "power-of-two"), (Lengths{1, 1, 8, 128, 128}));
  EXPECT_EQ(Declared(outputs, "context"), Lengths(5, kMaxTokens));
  EXPECT_EQ(Declared(outputs, "64"), (Lengths{64, 64, 64, 100, 128}));
}

TEST(DeclaredLength, EachOfAListIsAsLikely) {
  std::map<int64_t, int> times;
  for (const int64_t n : Declared(Lengths(3000, 200), "100,300,500")) ++times[n];
  ASSERT_EQ(times.size(), 3u) << "200 where 100 is drawn: nobody says less than it generates";
  for (const int64_t n : {200, 300, 500}) EXPECT_NEAR(times[n], 1000, 150) << n;
}

TEST(DeclaredLength, EveryNumberOfARangeIsAsLikely) {
  std::map<int64_t, int> times;
  for (const int64_t n : Declared(Lengths(5000, 3), "1-5")) ++times[n];
  ASSERT_EQ(times.size(), 3u);
  EXPECT_NEAR(times[3], 3000, 200);
  EXPECT_NEAR(times[4], 1000, 150);
  EXPECT_NEAR(times[5], 1000, 150);
}

TEST(DeclaredLength, TheSeedDecides) {
  const Lengths outputs(100, 1);
  EXPECT_EQ(Declared(outputs, "1-1000", 7), Declared(outputs, "1-1000", 7));
  EXPECT_NE(Declared(outputs, "1-1000", 7), Declared(outputs, "1-1000", 8));
}

TEST(DeclaredLength, WhatIsNoRuleIsNamed) {
  for (const std::string text : {"", "much", "0", "-5", "5-", "9-5", "1-2-3", "64,", ",64", "64,x",
                                 "1099511627777", "64, 128", "1-2,3"}) {
    const auto declared = ParseDeclaredLength(text, "--declare");
    ASSERT_FALSE(declared.ok()) << text;
    EXPECT_TRUE(std::string(declared.status().message()).starts_with("--declare=" + text))
        << declared.status();
  }
}

}  // namespace
}  // namespace plimsoll
