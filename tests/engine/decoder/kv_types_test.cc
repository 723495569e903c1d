// What each way of storing K and V costs in the answers of a model: the table of
// engine/decoder/README.md.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/engine/support/tiny_model.h"

namespace plimsoll {
namespace {

struct KvType {
  ElementType type;
  double from_bf16;  // at most so far are logits from those over a bf16 cache, relative L2
};

class EveryKvType : public testing::TestWithParam<KvType> {
 protected:
  // Four layers of heads of a usual width. Weights are scaled by their fan in, so that attention
  // is as sharp as a trained model's and what is rounded in the cache reaches the logits.
  static const TinyModel& Model() {
    static const TinyModel model({.layers = 4,
                                  .hidden = 256,
                                  .intermediate = 512,
                                  .heads = 4,
                                  .kv_heads = 2,
                                  .head_dim = 64,
                                  .vocab = 256});
    return model;
  }
  static std::vector<int32_t> Prompt(size_t count) {
    std::mt19937 random(1);
    std::vector<int32_t> tokens(count);
    for (int32_t& each : tokens) each = static_cast<int32_t>(random() % 256);
    return tokens;
  }
  static std::vector<float> Logits(const Ops& ops, ElementType kv,
                                   const std::vector<int32_t>& tokens) {
    TinyEngine engine(Model(), ops, {.kv = kv, .block_tokens = Tokens(16)});
    return engine.LogitsOf(tokens, 16);
  }
};

TEST_P(EveryKvType, LogitsStayNearThoseOverBf16) {
  const std::vector<int32_t> prompt = Prompt(200);
  const double distance = RelativeError(Logits(CpuOps(), GetParam().type, prompt),
                                        Logits(CpuOps(), ElementType::kBf16, prompt));
  RecordProperty("distance", std::to_string(distance));
  EXPECT_LT(distance, GetParam().from_bf16);
  EXPECT_GT(distance, GetParam().from_bf16 / 4);  // or the table is out of date
}

// A K that differs in its last bit may be stored one step apart; the rest is the order of sums.
TEST_P(EveryKvType, FastAgreesWithReference) {
  const std::vector<int32_t> prompt = Prompt(20);
  EXPECT_LT(RelativeError(Logits(CpuOps(), GetParam().type, prompt),
                          Logits(ReferenceOps(), GetParam().type, prompt)),
            GetParam().from_bf16 / 10);
}

INSTANTIATE_TEST_SUITE_P(Decoder, EveryKvType,
                         testing::Values(KvType{ElementType::kInt8, 3e-2},
                                         KvType{ElementType::kFp8, 0.15},
                                         KvType{ElementType::kInt4, 0.5}),
                         [](const auto& each) { return std::string(NameOf(each.param.type)); });

}  // namespace
}  // namespace plimsoll
