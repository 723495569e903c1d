#include "kvcache/model/strict_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string Refusal(const std::string& text) {
  const absl::StatusOr<json> parsed = ParseStrictJson(text);
  if (parsed.ok()) return "accepted";
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(parsed.status().message().find('\n'), std::string::npos);
  return std::string(parsed.status().message());
}

TEST(StrictJson, ReadsEveryKindOfValue) {
  const absl::StatusOr<json> parsed =
      ParseStrictJson(R"({"n": null, "b": true, "i": -3, "u": 18446744073709551615, "d": 0.5,
                          "s": "a\"b\u00e9", "l": [1, [2], {}], "o": {"k": 1}})");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_TRUE((*parsed)["n"].is_null());
  EXPECT_EQ((*parsed)["b"], true);
  EXPECT_EQ((*parsed)["i"], -3);
  EXPECT_EQ((*parsed)["u"], UINT64_MAX);
  EXPECT_EQ((*parsed)["d"], 0.5);
  EXPECT_EQ((*parsed)["s"], "a\"b\xc3\xa9");
  EXPECT_EQ((*parsed)["l"].size(), 3U);
  EXPECT_EQ((*parsed)["o"]["k"], 1);
}

TEST(StrictJson, ABareInfinityIsReadAsTheStringOfThatName) {
  const absl::StatusOr<json> parsed = ParseStrictJson(
      R"({"limit": [0.0, Infinity], "low": -Infinity , "nan":NaN, "text": "Infinity, NaN]\"NaN"})");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ((*parsed)["limit"][1], "Infinity");
  EXPECT_EQ((*parsed)["low"], "-Infinity");
  EXPECT_EQ((*parsed)["nan"], "NaN");
  EXPECT_EQ((*parsed)["text"], "Infinity, NaN]\"NaN");
}

TEST(StrictJson, ABareWordIsNoKeyAndNoPartOfOne) {
  EXPECT_THAT(Refusal("{Infinity: 1}"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("{\"a\": 1Infinity}"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("{\"a\": Infinityy}"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("{\"a\": +Infinity}"), HasSubstr("not JSON"));
}

TEST(StrictJson, RefusesAKeyThatIsThereTwice) {
  EXPECT_EQ(Refusal(R"({"layers": 1, "heads": 2, "layers": 1})"), "duplicate key \"layers\"");
  EXPECT_EQ(Refusal(R"({"a": [{"b": 1, "\u0062": 2}]})"), "duplicate key \"b\"");
  EXPECT_EQ(Refusal(R"({"a": {"b": 1}, "c": {"b": 2}})"), "accepted");
}

TEST(StrictJson, RefusesNestingDeeperThan64) {
  EXPECT_EQ(Refusal(std::string(64, '[') + std::string(64, ']')), "accepted");
  EXPECT_EQ(Refusal(std::string(65, '[') + std::string(65, ']')), "nested deeper than 64");
  EXPECT_EQ(Refusal(std::string(8'000'000, '[')), "nested deeper than 64");
}

TEST(StrictJson, SaysWhereTextStopsBeingJson) {
  EXPECT_EQ(Refusal("{\n  \"a\": 1,\n  oops\n}"), "not JSON at line 3, column 3");
  EXPECT_THAT(Refusal(""), HasSubstr("not JSON at line 1"));
  EXPECT_THAT(Refusal("{\"a\": 1"), HasSubstr("not JSON at line 1"));
  EXPECT_THAT(Refusal("{} {}"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("{\"a\": 1,}"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("// comment\n{}"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("{\"a\": 1e999}"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("{\"a\": \"\xff\"}"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal(std::string("{\"a\":\0 1}", 9)), HasSubstr("not JSON"));
}

TEST(StrictJson, RefusesTextOver64MiB) {
  EXPECT_THAT(Refusal(std::string((64 << 20) + 1, ' ')), HasSubstr("longer than 67108864 bytes"));
}

TEST(StrictJson, AnIntegerBeyond64BitsIsNoInteger) {
  const absl::StatusOr<json> parsed = ParseStrictJson("[18446744073709551616]");
  ASSERT_TRUE(parsed.ok());
  EXPECT_FALSE((*parsed)[0].is_number_integer());
}

// A cut-off text is never a value, except after the last brace.
TEST(StrictJson, EveryTruncationIsRefused) {
  const std::string text = R"({"a": [1, 2.5, Infinity, "x\"y"], "b": {"c": null}})";
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_NE(Refusal(text.substr(0, length)), "accepted") << length;
  }
  EXPECT_EQ(Refusal(text), "accepted");
}

// Whatever bytes come, the answer is a value or a message; nothing crashes.
TEST(StrictJson, RandomDamageNeverCrashes) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const std::string text = R"({"a": [1, -Infinity, "x\"y\u0041"], "b": {"c": NaN, "d": 1e5}})";
  for (int round = 0; round < 5000; ++round) {
    std::string damaged = text;
    for (int i = 0; i < 3; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    Refusal(damaged);
  }
}

}  // namespace
}  // namespace plimsoll
