#include "kvcache/sizing/training_textbook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

TEST(ParameterCount, ReadsWhatPeopleWrite) {
  for (const char* const text : {"13e9", "13E9", "13B", "13b", "13000000000", "13.0B", "13e+9",
                                 "0.013T", "13000M", "1.3e10"}) {
    EXPECT_EQ(*ParseParameterCount(text), 13'000'000'000) << text;
  }
  EXPECT_EQ(*ParseParameterCount("7.5B"), 7'500'000'000);
  EXPECT_EQ(*ParseParameterCount("1"), 1);
  EXPECT_EQ(*ParseParameterCount("1125899906842624"), int64_t{1} << 50);
}

TEST(ParameterCount, RefusesTheRestNamingTheText) {
  for (const char* const text : {"",
                                 "0",
                                 "-1",
                                 "B",
                                 "e9",
                                 ".",
                                 "1.",
                                 ".5B",
                                 "1.5",
                                 "1e-3",
                                 "1e99",
                                 "13GB",
                                 "13e",
                                 "1..5B",
                                 "1.2.3B",
                                 "0x10",
                                 " 13B",
                                 "13 B",
                                 "13B ",
                                 "1125899906842625",
                                 "99999999999999999999",
                                 "9223372036854775807",
                                 "nan",
                                 "inf",
                                 "1e2147483648"}) {
    const absl::Status status = ParseParameterCount(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), testing::StartsWith("parameters=")) << text;
  }
}

TEST(UsualShape, IsThatOfKnownModels) {
  EXPECT_EQ(UsualShape(7'000'000'000).layers, 32);
  EXPECT_EQ(UsualShape(13'000'000'000).layers, 40);
  EXPECT_EQ(UsualShape(175'000'000'000).layers, 96);
  EXPECT_EQ(UsualShape(1).layers, 1);
}

TEST(UsualShape, IsTheLargestWithinTheCount) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE(absl::StrCat("rerun with --gtest_random_seed=", seed));
  std::mt19937_64 rng(static_cast<uint64_t>(seed));
  for (int i = 0; i < 200; ++i) {
    const int64_t count = static_cast<int64_t>(rng() >> (14 + rng() % 30)) + 1'000'000;
    const TextbookModel shape = UsualShape(count);
    const auto parameters = [](int64_t layers) {
      return 12 * layers * 128 * layers * 128 * layers;
    };
    EXPECT_LE(parameters(shape.layers), count);
    EXPECT_GT(parameters(shape.layers + 1), count);
  }
}

// 4096 x 32000 + 32 x (12 x 4096^2 + 13 x 4096) + 2 x 4096, 2.5 % below what the model has.
TEST(TextbookParameters, OfLlama7B) { EXPECT_EQ(TextbookParameters(Llama7B()), 6'575'235'072); }

}  // namespace
}  // namespace plimsoll
