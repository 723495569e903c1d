#include "kvcache/model/module_patterns.h"

#include <gtest/gtest.h>

#include <random>
#include <regex>
#include <string>

#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

std::optional<bool> Glob(std::string_view name, std::string_view pattern) {
  return MatchesPattern(name, pattern, PatternKind::kGlob);
}
std::optional<bool> Expression(std::string_view name, std::string_view pattern) {
  return MatchesPattern(name, pattern, PatternKind::kExpression);
}

TEST(ModulePatterns, AGlobIsTheWholeName) {
  EXPECT_EQ(Glob("model.layers.3.mlp.gate", "*mlp.gate"), true);
  EXPECT_EQ(Glob("model.layers.3.mlp.gate_proj", "*mlp.gate"), false);
  EXPECT_EQ(Glob("model.layers.3.mlp.gate_proj", "*mlp.gate*"), true);
  EXPECT_EQ(Glob("lm_head", "lm_hea?"), true);
  EXPECT_EQ(Glob("lm_head", ""), false);
  EXPECT_EQ(Glob("", "*"), true);
}

TEST(ModulePatterns, AnExpressionNeedNotReachTheEnd) {
  EXPECT_EQ(Expression("model.layers.3.mlp.gate_proj", ".*mlp.gate"), true);
  EXPECT_EQ(Expression("model.layers.3.mlp.gate_proj", ".*mlp.gate$"), false);
  EXPECT_EQ(Expression("model.layers.3.mlp.gate", "^model\\.layers\\.\\d+\\.mlp\\.gate$"), true);
  EXPECT_EQ(Expression("model.layers.3.mlp.gate", "mlp"), false) << "from the beginning";
  EXPECT_EQ(Expression("model.layers.12.mlp", ".*layers.[0-9]+.mlp"), true);
  EXPECT_EQ(Expression("a.up_proj", ".*(gate|up)_proj"), true);
  EXPECT_EQ(Expression("a.down_proj", ".*(gate|up)_proj"), false);
}

TEST(ModulePatterns, WhatIsNotReadIsNoAnswer) {
  for (const char* const pattern : {"(?!a)b", "[a-z]", "a{2}", "a|b", "(a", "a\\", "\\w", "a)b"}) {
    EXPECT_EQ(Expression("a", pattern), std::nullopt) << pattern;
  }
  EXPECT_EQ(Glob("a", std::string(257, 'a')), std::nullopt);
}

// Against the standard library's, on short texts of few letters, where matches are common.
TEST(ModulePatterns, AgreeWithTheStandardLibrary) {
  const auto seed = static_cast<uint32_t>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto pick = [&](std::initializer_list<const char*> from) {
    return std::string(*(from.begin() + random() % from.size()));
  };
  for (int i = 0; i < 2000; ++i) {
    std::string pattern, name;
    for (auto n = random() % 5; n > 0; --n) {
      pattern += pick({"a", "b", ".", "\\.", "\\d", "(a|b)"});
      if (pattern.back() != ')') pattern += pick({"", "", "*", "+"});
    }
    for (auto n = random() % 6; n > 0; --n) name += pick({"a", "b", ".", "7"});
    const std::regex judge(pattern);
    const bool expected = std::regex_search(name, judge, std::regex_constants::match_continuous);
    ASSERT_EQ(Expression(name, pattern), expected) << name << " and " << pattern;
  }
}

TEST(ModulePatterns, NamesAreThoseOfMatrices) {
  const ModelConfig model = *Parsed(SmallConfig());
  using Names = std::vector<std::string>;
  EXPECT_EQ(ModulesNamed(model, "*q_proj", PatternKind::kGlob),
            (Names{"model.layers.*.self_attn.q_proj"}));
  EXPECT_EQ(ModulesNamed(model, "*layers.1.*q_proj", PatternKind::kGlob),
            (Names{"model.layers.1.self_attn.q_proj"}));
  EXPECT_EQ(ModulesNamed(model, "*norm*", PatternKind::kGlob), Names());
}

}  // namespace
}  // namespace plimsoll
