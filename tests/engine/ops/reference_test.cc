// Worked by hand, so that the reference does not vouch for itself.
#include <gmock/gmock.h>

#include "engine/ops/arguments.h"
#include "tests/engine/ops/problems.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

const Ops& Judge() { return ReferenceOps(); }

TEST(Reference, EmbedPicksAndScalesRows) {
  const Stored table(ElementType::kBf16, {1, 2, 3, 4, 5, 6});
  const std::vector<int32_t> ids = {2, 0};
  std::vector<float> out(4);
  ASSERT_TRUE(Judge()
                  .embed({.ids = ids.data(),
                          .rows = 2,
                          .table = table.View(3, 2),
                          .scale = 2.0f,
                          .out = out.data()})
                  .ok());
  EXPECT_THAT(out, ElementsAre(10, 12, 2, 4));
}

// The mean square of {3, 4} is 12.5.
TEST(Reference, RmsNormOfThreeFour) {
  const Stored gain(ElementType::kFp32, {0, 1});
  std::vector<float> x = {3, 4};
  ASSERT_TRUE(Judge()
                  .rms_norm({.x = x.data(),
                             .rows = 1,
                             .cols = 2,
                             .gain = gain.View(1, 2),
                             .gain_offset = 1.0f,
                             .epsilon = 1e-9f,
                             .out = x.data()})
                  .ok());
  const float rms = 3.5355339f;  // sqrt(12.5)
  EXPECT_THAT(x, Pointwise(FloatNear(1e-6f), {3 / rms, 2 * 4 / rms}));
}

TEST(Reference, RmsNormOfZerosIsZero) {
  const Stored gain(ElementType::kFp32, {1, 1});
  std::vector<float> x = {0, 0};
  ASSERT_TRUE(Judge()
                  .rms_norm({.x = x.data(),
                             .rows = 1,
                             .cols = 2,
                             .gain = gain.View(1, 2),
                             .gain_offset = 0,
                             .epsilon = 1e-6f,
                             .out = x.data()})
                  .ok());
  EXPECT_THAT(x, ElementsAre(0, 0));
}

TEST(Reference, RmsNormAddsToWhatIsThere) {
  const Stored gain(ElementType::kFp32, {1, 1});
  const std::vector<float> x = {3, 4};
  std::vector<float> out = {10, 20};
  ASSERT_TRUE(Judge()
                  .rms_norm({.x = x.data(),
                             .rows = 1,
                             .cols = 2,
                             .gain = gain.View(1, 2),
                             .gain_offset = 0,
                             .epsilon = 1e-9f,
                             .out = out.data(),
                             .accumulate = true})
                  .ok());
  const float rms = 3.5355339f;  // sqrt(12.5)
  EXPECT_THAT(out, Pointwise(FloatNear(1e-5f), {10 + 3 / rms, 20 + 4 / rms}));
}

// [1 2 3] . [1 0 -1] = -2 and . [2 2 2] = 12.
TEST(Reference, LinearMultipliesAddsBiasAndAccumulates) {
  const Stored weight(ElementType::kFp16, {1, 0, -1, 2, 2, 2});
  const Stored bias(ElementType::kBf16, {10, 20});
  const std::vector<float> x = {1, 2, 3};
  std::vector<float> out = {100, 200};
  LinearArgs args = {.x = x.data(),
                     .rows = 1,
                     .weight = weight.View(2, 3),
                     .bias = {},
                     .accumulate = false,
                     .out = out.data()};
  ASSERT_TRUE(Judge().linear(args).ok());
  EXPECT_THAT(out, ElementsAre(-2, 12));
  args.bias = bias.View(1, 2);
  ASSERT_TRUE(Judge().linear(args).ok());
  EXPECT_THAT(out, ElementsAre(8, 32));
  args.accumulate = true;
  ASSERT_TRUE(Judge().linear(args).ok());
  EXPECT_THAT(out, ElementsAre(16, 64));
}

// A quarter turn takes (a, b) to (-b, a); dims past the rotated ones stay.
TEST(Reference, RotateTurnsPairsHalfApartAndAppendsToTheSlot) {
  std::mt19937 rng = SeededGenerator();
  const CacheUnderTest::Shape shape = {
      .type = ElementType::kFp32, .kv_heads = 1, .head_dim = 5, .block_tokens = 2};
  CacheUnderTest cache(shape, {4}, rng);
  std::vector<float> q = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};  // two heads
  std::vector<float> k = {1, 2, 3, 4, 5};
  const std::vector<float> v = {-1, -2, -3, -4, -5};
  const std::vector<float> cos = {9, 9, 9, 9, 9, 9, 0, 1};  // position 3: quarter turn, none
  const std::vector<float> sin = {9, 9, 9, 9, 9, 9, 1, 0};
  const RowPlace place = {.position = 3, .table = cache.table(0)};
  ASSERT_TRUE(Judge()
                  .rotate_and_append({.q = q.data(),
                                      .k = k.data(),
                                      .v = v.data(),
                                      .rows = 1,
                                      .heads = 2,
                                      .rotated_dims = 4,
                                      .cos = cos.data(),
                                      .sin = sin.data(),
                                      .places = &place,
                                      .cache = cache.layer()})
                  .ok());
  EXPECT_THAT(q, ElementsAre(-3, 2, 1, 4, 5, -8, 7, 6, 9, 10));
  const std::byte* const slot = KeySlot(cache.layer(), cache.table(0), 3, 0);
  for (int64_t d = 0; d < 5; ++d) {
    EXPECT_EQ(ReadElement(slot, ElementType::kFp32, d), k[static_cast<size_t>(d)]);
    EXPECT_EQ(ReadElement(slot + ValueOffset(cache.layer()), ElementType::kFp32, d),
              v[static_cast<size_t>(d)]);
  }
  EXPECT_THAT(k, ElementsAre(-3, 2, 1, 4, 5));
}

// Scores 0 and ln 3 weigh a quarter and three quarters.
TEST(Reference, AttentionWeighsValuesByTheSoftmaxOfScores) {
  std::mt19937 rng = SeededGenerator();
  const CacheUnderTest::Shape shape = {
      .type = ElementType::kFp32, .kv_heads = 1, .head_dim = 1, .block_tokens = 1};
  CacheUnderTest cache(shape, {3}, rng);
  const std::vector<float> keys = {0, 2, 0};
  const std::vector<float> values = {4, 8, 100};
  for (int64_t p = 0; p < 2; ++p) {  // position 2 stays NaN
    cache.WriteKey(0, p, 0, {keys[static_cast<size_t>(p)]});
    cache.WriteValue(0, p, 0, {values[static_cast<size_t>(p)]});
  }
  const std::vector<float> q = {std::log(3.0f), 0};  // two heads of one group
  std::vector<float> out(2);
  const RowPlace place = {.position = 1, .table = cache.table(0)};
  AttentionArgs args = {.q = q.data(),
                        .rows = 1,
                        .heads = 2,
                        .scale = 0.5f,
                        .window = std::numeric_limits<int64_t>::max(),
                        .places = &place,
                        .cache = cache.layer(),
                        .out = out.data()};
  ASSERT_TRUE(Judge().attention(args).ok());
  EXPECT_THAT(out, Pointwise(FloatNear(1e-5f), {7.0f, 6.0f}));
  // A sink as heavy as both together halves what is left for them; one far below changes nothing.
  const std::vector<float> sinks = {std::log(4.0f), -100};
  args.sinks = sinks.data();
  ASSERT_TRUE(Judge().attention(args).ok());
  EXPECT_THAT(out, Pointwise(FloatNear(1e-5f), {3.5f, 6.0f}));
  args.sinks = nullptr;
  args.window = 1;  // only the row itself
  ASSERT_TRUE(Judge().attention(args).ok());
  EXPECT_THAT(out, ElementsAre(8, 8));
}

// Scores 0 and 1000, capped at ln 3 (tanh of much is one), again weigh a quarter and three
// quarters.
TEST(Reference, AttentionCapsScores) {
  std::mt19937 rng = SeededGenerator();
  CacheUnderTest cache({ElementType::kFp32, 1, 1, 1}, {2}, rng);
  cache.WriteKey(0, 0, 0, {0});
  cache.WriteKey(0, 1, 0, {1000});
  cache.WriteValue(0, 0, 0, {4});
  cache.WriteValue(0, 1, 0, {8});
  const float q = 1;
  float out = 0;
  const RowPlace place = {.position = 1, .table = cache.table(0)};
  ASSERT_TRUE(Judge()
                  .attention({.q = &q,
                              .rows = 1,
                              .heads = 1,
                              .scale = 1,
                              .window = std::numeric_limits<int64_t>::max(),
                              .places = &place,
                              .cache = cache.layer(),
                              .out = &out,
                              .softcap = std::log(3.0f)})
                  .ok());
  EXPECT_NEAR(out, 7.0f, 1e-5f);
}

// One position holds all the weight, so what comes out is what was stored of V: 0, 2 and 3 in
// steps of a fifth for int4, of 3/255 for int8.
TEST(Reference, AttentionReadsNumbersByTheirWords) {
  std::mt19937 rng = SeededGenerator();
  for (const auto& [type, step] :
       {std::pair(ElementType::kInt4, 3.0 / 15), std::pair(ElementType::kInt8, 3.0 / 255)}) {
    CacheUnderTest cache({type, 1, 3, 2}, {2}, rng);
    cache.WriteKey(0, 0, 0, {0, 0, 0});
    cache.WriteValue(0, 0, 0, {9, 9, 9});
    cache.WriteKey(0, 1, 0, {50, 0, 0});
    cache.WriteValue(0, 1, 0, {0, 2, 3});
    const std::vector<float> q = {10, 0, 0};
    std::vector<float> out(3);
    const RowPlace place = {.position = 1, .table = cache.table(0)};
    ASSERT_TRUE(Judge()
                    .attention({.q = q.data(),
                                .rows = 1,
                                .heads = 1,
                                .scale = 1,
                                .window = std::numeric_limits<int64_t>::max(),
                                .places = &place,
                                .cache = cache.layer(),
                                .out = out.data()})
                    .ok());
    const double rounding = 3 * 0x1p-11;  // of the scale, to fp16
    EXPECT_EQ(out[0], 0.0f);
    EXPECT_NEAR(out[1], 2, step / 2 + rounding);
    EXPECT_NEAR(out[2], 3, rounding);
  }
}

TEST(Reference, GatedActivationAtOne) {
  const std::vector<float> gate = {1, 0, -1};
  const std::vector<float> up = {2, 2, 2};
  const auto gated = [&](Activation activation) {
    std::vector<float> out(3);
    EXPECT_TRUE(Judge()
                    .gated_activation({.gate = gate.data(),
                                       .up = up.data(),
                                       .count = 3,
                                       .activation = activation,
                                       .out = out.data()})
                    .ok());
    return out;
  };
  EXPECT_THAT(gated(Activation::kSilu),  // 1 / (1 + 1/e) = 0.7310586
              Pointwise(FloatNear(1e-6f), {1.4621172f, 0.0f, -0.5378828f}));
  EXPECT_THAT(gated(Activation::kGelu),  // the normal distribution at 1 is 0.8413447
              Pointwise(FloatNear(1e-6f), {1.6826895f, 0.0f, -0.3173105f}));
  EXPECT_THAT(gated(Activation::kGeluTanh),  // torch's tanh approximation of 1 is 0.8411920
              Pointwise(FloatNear(1e-6f), {1.6823840f, 0.0f, -0.3176160f}));
}

TEST(Arguments, ATypeNoTableCanDoIsUnimplementedByName) {
  const std::vector<std::byte> bytes(16);
  const WeightView weight = {bytes.data(), ElementType::kFp8, 2, 2};
  const std::vector<float> x(2);
  std::vector<float> out(2);
  for (const Ops* const ops : AllOps()) {
    const absl::Status status = ops->linear({.x = x.data(),
                                             .rows = 1,
                                             .weight = weight,
                                             .bias = {},
                                             .accumulate = false,
                                             .out = out.data()});
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << ops->name;
    EXPECT_EQ(status.message(), "linear: no fp8 on the CPU, want fp32, fp16 or bf16");
  }
}

TEST(ArgumentsDeathTest, AShapeThatMakesNoSenseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Stored gain(ElementType::kFp32, {1, 1});
  const std::vector<float> x(3);
  const RmsNormArgs args = {.x = x.data(),
                            .rows = 1,
                            .cols = 3,
                            .gain = gain.View(1, 2),
                            .gain_offset = 0,
                            .epsilon = 1e-6f,
                            .out = nullptr};
  EXPECT_DEATH((void)CheckArguments(args), "args.gain.cols == args.cols");
  const Stored table(ElementType::kFp32, {1, 2});
  const int32_t id = 2;
  const EmbedArgs embed = {
      .ids = &id, .rows = 1, .table = table.View(2, 1), .scale = 1, .out = nullptr};
  EXPECT_DEATH((void)CheckArguments(embed), "args.Id");
}

}  // namespace
}  // namespace plimsoll
