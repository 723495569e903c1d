#include "kvcache/sizing/training_curves.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "tests/kvcache/sizing/training_cases.h"

namespace plimsoll {
namespace {

template <class Model>
TrainingCurves Curves(const Model& model, const TrainingOptions& options) {
  absl::StatusOr<TrainingCurves> curves = TrainingCurvesOf(model, options);
  PLIMSOLL_CHECK(curves.ok(), curves.status().message());
  return *std::move(curves);
}

std::vector<int64_t> Places(const std::vector<ActivationPoint>& points) {
  std::vector<int64_t> places;
  for (const ActivationPoint& point : points) places.push_back(point.at);
  return places;
}

// 34 x 1024 x 5120 x 40 + 5 x 40 x 40 x 1024^2, then 34 alone, then 2.
TEST(TrainingCurves, OfThe13BTextbookByHand) {
  const TrainingCurves curves =
      Curves(UsualShape(13'000'000'000), Training(TrainingMethod::kMixed));
  EXPECT_EQ(Places(curves.over_sequence),
            (std::vector<int64_t>{128, 256, 512, 1024, 2048, 4096, 8192}));
  EXPECT_EQ(curves.over_sequence[3].none, Bytes(15'518'924'800));
  EXPECT_EQ(curves.over_sequence[3].selective, Bytes(7'130'316'800));
  EXPECT_EQ(curves.over_sequence[3].full, Bytes(419'430'400));
  EXPECT_EQ(Places(curves.over_batch), (std::vector<int64_t>{1, 2, 4, 8}));
  EXPECT_EQ(curves.over_batch[3].none, Bytes(8 * int64_t{15'518'924'800}));
}

TEST(TrainingCurves, OneReplicaIsSplitOverEight) {
  const TrainingCurves curves = Curves(UsualShape(8'000'000'000), Training(TrainingMethod::kMixed));
  EXPECT_EQ(curves.zero_replicas, 8);
  ASSERT_EQ(curves.over_zero.size(), 4U);
  EXPECT_EQ(curves.over_zero[0].optimizer, Bytes(96'000'000'000));
  EXPECT_EQ(curves.over_zero[1].optimizer, Bytes(12'000'000'000));
  EXPECT_EQ(curves.over_zero[2].gradients, Bytes(2'000'000'000));
  EXPECT_EQ(curves.over_zero[3].weights, Bytes(2'000'000'000));
  EXPECT_GT(curves.over_zero[3].buffers, Bytes(0));
}

TEST(TrainingCurves, GoThroughThePlanAndRise) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE(absl::StrCat("rerun with --gtest_random_seed=", seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  for (int i = 0; i < 20; ++i) {
    TrainingOptions options = Training(static_cast<TrainingMethod>(rng() % 10));
    options.batch = 1 + static_cast<int64_t>(rng() % 30);
    options.sequence = Tokens(1 + static_cast<int64_t>(rng() % 9000));
    options.gpus = 2 + static_cast<int64_t>(rng() % 30);
    options.zero_stage = static_cast<int>(rng() % 4);
    const TrainingPlan plan = Planned(Llama31(), options);
    const TrainingCurves curves = Curves(Llama31(), options);
    const auto check = [&](const std::vector<ActivationPoint>& points, int64_t at) {
      bool found = false;
      for (size_t p = 0; p < points.size(); ++p) {
        EXPECT_TRUE(p == 0 || points[p - 1].none < points[p].none);
        EXPECT_LE(points[p].selective, points[p].none);
        if (points[p].at != at) continue;
        found = true;
        EXPECT_EQ(points[p].none, plan.activations_bytes);
      }
      EXPECT_TRUE(found);
    };
    check(curves.over_sequence, options.sequence.value());
    check(curves.over_batch, options.batch);
    EXPECT_EQ(curves.zero_replicas, options.gpus);
    EXPECT_EQ(curves.over_zero[static_cast<size_t>(options.zero_stage)].total(),
              StatesOf(plan) + plan.buffers_bytes);
  }
}

TEST(TrainingCurves, PointsThatCannotBePlannedAreLeftOut) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.batch = kMaxTrainingBatch;
  options.sequence = Tokens(8);
  const TrainingCurves curves = Curves(Llama31(), options);
  EXPECT_EQ(curves.over_batch.back().at, kMaxTrainingBatch);
}

TEST(TrainingCurves, RefuseWhatThePlanRefuses) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.batch = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(TrainingCurvesOf(Llama31(), options).status()));
}

}  // namespace
}  // namespace plimsoll
