// CUDA's linear layers against the reference over the same 16-bit inputs, on the emulator and on a
// GPU: every storage, few rows and many.
#include "engine/weights/fragment_layout.h"
#include "tests/engine/ops/device_problem.h"
#include "tests/engine/ops/quantised_problems.h"

namespace plimsoll {
namespace {

// Products are exact in fp32 and summed in it; only widened weights are rounded, to 16 bits.
constexpr double kTolerance = 2e-6;
double WidenedTolerance(ElementType half) { return half == ElementType::kFp16 ? 5e-4 : 4e-3; }

class LinearKernels : public OnDevice {
 protected:
  // out of `ops`, of what was there before where it accumulates
  struct Problem {
    Stored x;
    Stored bias;
    std::vector<float> before;
    int64_t rows;
  };

  Problem Random(ElementType half, int64_t rows, int64_t outputs, int64_t inputs) {
    return {.x = Stored(half, RandomFloats(rows * inputs, rng_)),
            .bias = Stored(half, RandomFloats(outputs, rng_)),
            .before = RandomFloats(rows * outputs, rng_),
            .rows = rows};
  }

  std::vector<float> Reference(const Problem& problem, const WeightView& weight, bool with_bias) {
    std::vector<float> x(static_cast<size_t>(problem.rows * weight.cols));
    for (int64_t i = 0; i < std::ssize(x); ++i) {
      x[static_cast<size_t>(i)] = ReadElement(problem.x.bytes.data(), problem.x.type, i);
    }
    std::vector<float> out = problem.before;
    EXPECT_TRUE(ReferenceOps()
                    .linear({.x = x.data(),
                             .rows = problem.rows,
                             .weight = weight,
                             .bias = with_bias ? problem.bias.View(1, weight.rows) : WeightView{},
                             .accumulate = with_bias,
                             .out = out.data()})
                    .ok());
    return out;
  }

  // `weight` lies on the device.
  std::vector<float> OnKernels(const Problem& problem, const WeightView& weight, bool with_bias) {
    float* const out = Put(problem.before);
    const absl::Status status =
        ops().linear({.x = nullptr,
                      .rows = problem.rows,
                      .weight = weight,
                      .bias = with_bias ? Put(problem.bias, 1, weight.rows) : WeightView{},
                      .accumulate = with_bias,
                      .out = out,
                      .narrowed = {Put(problem.x.bytes), problem.x.type}});
    EXPECT_TRUE(status.ok()) << status;
    return Get(out, std::ssize(problem.before));
  }

  // As fragments, on the device.
  WeightView PutFragments(const QuantisedWeight& weight) {
    std::vector<std::byte> data(weight.bytes.size());
    std::vector<std::byte> scales(weight.scales.size());
    ToFragments(weight.view, data.data(), scales.data());
    WeightView view = weight.view;
    view.data = Put(data);
    view.scales = Put(scales);
    return view;
  }

  std::mt19937 rng_ = SeededGenerator();
};

TEST_P(LinearKernels, SixteenBitWeightsAgree) {
  SCOPED_TRACE(RerunHint());
  for (const ElementType half : {ElementType::kFp16, ElementType::kBf16}) {
    for (const auto& [outputs, inputs] : {std::pair(16, 64), {48, 128}, {64, 1216}, {101, 64}}) {
      const Stored weight(half, RandomFloats(outputs * inputs, rng_));
      const WeightView on_device = Put(weight, outputs, inputs);
      for (const int64_t rows : {1, 8, 9, 17, 33, 64, 65}) {
        SCOPED_TRACE(testing::Message()
                     << NameOf(half) << " " << rows << "x" << inputs << "x" << outputs);
        const bool with_bias = rows % 2 == 1;
        const Problem problem = Random(half, rows, outputs, inputs);
        EXPECT_LT(RelativeDistance(OnKernels(problem, on_device, with_bias),
                                   Reference(problem, weight.View(outputs, inputs), with_bias)),
                  kTolerance);
      }
    }
  }
}

TEST_P(LinearKernels, QuantisedWeightsAgreeInGroupsOfAnySize) {
  SCOPED_TRACE(RerunHint());
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
    for (const int64_t group : {32, 64, 128, 0}) {
      const int64_t outputs = group == 64 ? 48 : 32;
      const int64_t inputs = group == 32 ? 576 : 640;
      const QuantisedWeight weight(type, outputs, inputs, group == 0 ? inputs : group, rng_);
      const WeightView on_device = PutFragments(weight);
      for (const int64_t rows : {1, 7, 16, 31, 50, 70}) {
        const ElementType half =
            (rows + group / 32) % 2 == 0 ? ElementType::kFp16 : ElementType::kBf16;
        SCOPED_TRACE(testing::Message() << NameOf(type) << " in groups of " << group << ", " << rows
                                        << " rows of " << NameOf(half));
        const bool with_bias = rows % 2 == 1;
        const Problem problem = Random(half, rows, outputs, inputs);
        EXPECT_LT(RelativeDistance(OnKernels(problem, on_device, with_bias),
                                   Reference(problem, weight.view, with_bias)),
                  rows <= 64 ? kTolerance : WidenedTolerance(half));
      }
    }
  }
}

// 64 KiB of widened weights at a time on the emulator: more outputs than one slice has.
TEST_P(LinearKernels, ManyRowsTakeWeightsASliceAtATime) {
  SCOPED_TRACE(RerunHint());
  const QuantisedWeight weight(ElementType::kInt4, 80, 1024, 128, rng_);
  const Problem problem = Random(ElementType::kFp16, 66, 80, 1024);
  EXPECT_LT(RelativeDistance(OnKernels(problem, PutFragments(weight), true),
                             Reference(problem, weight.view, true)),
            WidenedTolerance(ElementType::kFp16));
}

TEST_P(LinearKernels, ShapesWithoutKernelAreRefused) {
  const Problem problem = Random(ElementType::kFp16, 1, 32, 72);
  const Stored weight(ElementType::kFp16, RandomFloats(32 * 72, rng_));
  const absl::Status status = ops().linear({.x = nullptr,
                                            .rows = 1,
                                            .weight = Put(weight, 32, 72),
                                            .bias = {},
                                            .accumulate = false,
                                            .out = Put(problem.before),
                                            .narrowed = {Put(problem.x.bytes), problem.x.type}});
  EXPECT_EQ(status, absl::UnimplementedError("linear: no kernel for this type or shape"));
}

INSTANTIATE_TEST_SUITE_P(All, LinearKernels, testing::ValuesIn(KernelDevices()), DeviceName);

}  // namespace
}  // namespace plimsoll
