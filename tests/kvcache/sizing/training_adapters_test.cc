#include "kvcache/sizing/training_adapters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

const std::vector<std::string> kSeven = {"q_proj",  "k_proj",    "v_proj",   "o_proj",
                                         "up_proj", "gate_proj", "down_proj"};

TEST(Adapters, Rank8OnQueriesAndValuesOfLlama2) {
  const auto count = CountAdapters(ModelNamed("meta-llama/Llama-2-7b-hf"), {"q_proj", "v_proj"}, 8);
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(count->parameters, 4'194'304);
  EXPECT_EQ(count->matrices, 64);
}

TEST(Adapters, Rank16OnAllSevenMatricesOfLlama31) {
  const auto count = CountAdapters(Llama31(), kSeven, 16);
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(count->parameters, 41'943'040);
}

TEST(Adapters, AllLinearIsEveryMatrix) {
  EXPECT_EQ(CountAdapters(Llama31(), {"all-linear"}, 16)->parameters, 41'943'040);
  EXPECT_EQ(CountAdapters(Llama31(), {"all-linear", "q_proj"}, 16)->parameters, 41'943'040);
}

// 2 x 4096 + 2 x 5 x 4096 for each of 32 layers, and h x h matrices besides.
TEST(Adapters, TheTextbookHasSixMatrices) {
  const TextbookModel model = UsualShape(7'000'000'000);
  EXPECT_EQ(CountAdapters(model, {"q_proj", "v_proj"}, 8)->parameters, 4'194'304);
  EXPECT_EQ(CountAdapters(model, {"all-linear"}, 1)->parameters, 32 * (4 * 2 + 2 * 5) * 4096);
}

TEST(Adapters, OnlyExpertsThatATokenMeetsAreActive) {
  const auto count = CountAdapters(ModelNamed("mistralai/Mixtral-8x7B-v0.1"), {"w1"}, 4);
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_EQ(count->matrices, 32 * 8);
  EXPECT_EQ(count->active, 32 * 2);
  EXPECT_EQ(count->parameters, 32 * 8 * 4 * (4096 + 14336));
}

TEST(Adapters, AMatrixThatTheModelLacksIsNamedWithThoseItHas) {
  const absl::Status status = CountAdapters(Llama31(), {"q_proj", "c_attn"}, 8).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(),
            "lora_targets=c_attn: want some of down_proj, gate_proj, k_proj, o_proj, q_proj, "
            "up_proj, v_proj, all-linear");
  EXPECT_FALSE(CountAdapters(UsualShape(7'000'000'000), {"gate_proj"}, 8).ok());
}

TEST(Adapters, NamesFromFilesAreOneLineAndNotTooLong) {
  ModelConfig model = Llama31();
  TensorSpec matrix = {.name = "", .role = TensorRole::kLinear, .shape = {2, 2}};
  for (int i = 0; i < 100; ++i) {
    matrix.name = "any\n\x7f" + std::to_string(i) + ".weight";
    model.tensors.push_back(matrix);
  }
  const std::string message(CountAdapters(model, {"c_attn"}, 8).status().message());
  EXPECT_LT(message.size(), 1000u);
  EXPECT_EQ(message.find_first_of("\n\x7f"), std::string::npos) << message;
  EXPECT_NE(message.find(" more, all-linear"), std::string::npos) << message;
}

}  // namespace
}  // namespace plimsoll
