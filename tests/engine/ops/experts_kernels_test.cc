// CUDA's routing and experts against the reference over the same 16-bit inputs, on the emulator and
// on a GPU.
#include <algorithm>
#include <deque>

#include "engine/device/cuda_ops.h"
#include "engine/weights/fragment_layout.h"
#include "tests/engine/ops/device_problem.h"
#include "tests/engine/ops/quantised_problems.h"

namespace plimsoll {
namespace {

constexpr int64_t kHidden = 64;

class ExpertsKernels : public OnDevice {
 protected:
  struct Routed {
    std::vector<int32_t> chosen;
    std::vector<float> shares;
  };
  struct Routing {
    std::vector<float> logits, shared;
    int64_t rows, experts, active;
    bool renormalise;
    int64_t choices() const { return active + (shared.empty() ? 0 : 1); }
  };

  Routed RouteOnHost(const Routing& problem) {
    Routed routed{std::vector<int32_t>(static_cast<size_t>(problem.rows * problem.choices())),
                  std::vector<float>(static_cast<size_t>(problem.rows * problem.choices()))};
    EXPECT_TRUE(ReferenceOps()
                    .route(Args(problem, problem.logits.data(), problem.shared.data(),
                                routed.chosen.data(), routed.shares.data()))
                    .ok());
    return routed;
  }
  Routed RouteOnKernels(const Routing& problem) {
    const int64_t count = problem.rows * problem.choices();
    int32_t* const chosen = Take<int32_t>(count);
    float* const shares = Take<float>(count);
    EXPECT_TRUE(
        ops().route(Args(problem, Put(problem.logits), Put(problem.shared), chosen, shares)).ok());
    return {Get(chosen, count), Get(shares, count)};
  }

  // Experts of random weights; the last may be of another width.
  struct Mixture {
    std::deque<Stored> stored;
    std::deque<QuantisedWeight> quantised;
    std::vector<ExpertWeights> on_host, on_device;
    ExpertTable table;
  };
  WeightView Matrix(ElementType type, int64_t group, int64_t rows, int64_t cols, Mixture& made,
                    WeightView& on_device) {
    if (type == ElementType::kFp16 || type == ElementType::kBf16) {
      const Stored& plain = made.stored.emplace_back(type, RandomFloats(rows * cols, rng_, 0.1f));
      on_device = Put(plain, rows, cols);
      return plain.View(rows, cols);
    }
    const QuantisedWeight& weight =
        made.quantised.emplace_back(type, rows, cols, group == 0 ? cols : group, rng_);
    std::vector<std::byte> data(weight.bytes.size()), scales(weight.scales.size());
    ToFragments(weight.view, data.data(), scales.data());
    on_device = weight.view;
    on_device.data = Put(data);
    on_device.scales = Put(scales);
    return weight.view;
  }
  void MakeExperts(ElementType type, int64_t group, const std::vector<int64_t>& widths,
                   Mixture& made) {
    std::vector<PlimsollCudaExpert> experts;
    for (const int64_t width : widths) {
      ExpertWeights& device = made.on_device.emplace_back();
      ExpertWeights& host = made.on_host.emplace_back();
      host.gate = Matrix(type, group, width, kHidden, made, device.gate);
      host.up = Matrix(type, group, width, kHidden, made, device.up);
      host.down = Matrix(type, group, kHidden, width, made, device.down);
      experts.push_back({CudaWeight(device.gate), CudaWeight(device.up), CudaWeight(device.down)});
    }
    made.table = {.experts = Put(experts),
                  .type = type,
                  .groups_of_32 = group == 32,
                  .width = *std::max_element(widths.begin(), widths.end())};
  }

  // What both start from.
  struct Problem {
    Stored x;
    std::vector<float> before;
    Routed routed;
    int64_t rows, choices;
  };
  // Each row with `choices` different experts; a shared one, the last, is its last choice.
  Problem Random(ElementType half, int64_t rows, int64_t experts, int64_t active, bool shared) {
    Routing routing{.logits = RandomFloats(rows * experts, rng_),
                    .shared = shared ? RandomFloats(rows, rng_) : std::vector<float>{},
                    .rows = rows,
                    .experts = experts,
                    .active = active,
                    .renormalise = true};
    return {.x = Stored(half, RandomFloats(rows * kHidden, rng_)),
            .before = RandomFloats(rows * kHidden, rng_),
            .routed = RouteOnHost(routing),
            .rows = rows,
            .choices = routing.choices()};
  }
  std::vector<float> OnHost(const Problem& problem, const Mixture& mixture) {
    std::vector<float> x(problem.before.size());
    for (int64_t i = 0; i < std::ssize(x); ++i) {
      x[static_cast<size_t>(i)] = ReadElement(problem.x.bytes.data(), problem.x.type, i);
    }
    std::vector<float> out = problem.before;
    EXPECT_TRUE(ReferenceOps()
                    .experts({.x = x.data(),
                              .chosen = problem.routed.chosen.data(),
                              .shares = problem.routed.shares.data(),
                              .rows = problem.rows,
                              .choices = problem.choices,
                              .experts = mixture.on_host.data(),
                              .count = std::ssize(mixture.on_host),
                              .activation = Activation::kSilu,
                              .scratch = {},
                              .out = out.data()})
                    .ok());
    return out;
  }
  std::vector<float> OnKernels(const Problem& problem, const Mixture& mixture) {
    const int64_t slots = problem.rows * problem.choices;
    const int64_t width = mixture.table.width;
    const int64_t narrow = std::max(problem.rows * kHidden, slots * width);
    std::vector<std::byte> x = problem.x.bytes;
    x.resize(static_cast<size_t>(2 * narrow), std::byte{0xff});
    float* const out = Put(problem.before);
    const absl::Status status = ops().experts(
        {.x = nullptr,
         .chosen = Put(problem.routed.chosen),
         .shares = Put(problem.routed.shares),
         .rows = problem.rows,
         .choices = problem.choices,
         .experts = mixture.on_device.data(),
         .count = std::ssize(mixture.on_device),
         .activation = Activation::kSilu,
         .scratch = {.gathered = Take<float>(slots * kHidden / 2),
                     .gate = Take<float>(slots * width),
                     .up = Take<float>(slots * width),
                     .mixed = Take<float>(slots * kHidden),
                     .picked = Take<int32_t>(2 * slots + std::ssize(mixture.on_device) + 1)},
         .out = out,
         .narrowed = {Put(x), problem.x.type},
         .table = mixture.table});
    EXPECT_TRUE(status.ok()) << status;
    return Get(out, std::ssize(problem.before));
  }

  std::mt19937 rng_ = SeededGenerator();

 private:
  static RouteArgs Args(const Routing& problem, const float* logits, const float* shared,
                        int32_t* chosen, float* shares) {
    return {.logits = logits,
            .shared = problem.shared.empty() ? nullptr : shared,
            .rows = problem.rows,
            .experts = problem.experts,
            .active = problem.active,
            .renormalise = problem.renormalise,
            .chosen = chosen,
            .shares = shares};
  }
};

// Logits ln 1, ln 4, ln 2, ln 1 have weights 1, 4, 2, 1 of 8; of equal ones the first is taken, and
// what is no number comes last.
TEST_P(ExpertsKernels, RouteTakesTheLargestByTheirShare) {
  const float ln2 = std::log(2.0f);
  const Routed of_all = RouteOnKernels({.logits = {0, 2 * ln2, ln2, 0, 1, 3, 1, 3},
                                        .shared = {0, ln2},
                                        .rows = 2,
                                        .experts = 4,
                                        .active = 2,
                                        .renormalise = false});
  EXPECT_EQ(of_all.chosen, (std::vector<int32_t>{1, 2, 4, 1, 3, 4}));
  EXPECT_FLOAT_EQ(of_all.shares[0], 0.5f);
  EXPECT_FLOAT_EQ(of_all.shares[1], 0.25f);
  EXPECT_FLOAT_EQ(of_all.shares[2], 0.5f);
  EXPECT_FLOAT_EQ(of_all.shares[5], 2 / 3.0f);
  const Routed no_numbers = RouteOnKernels({.logits = {NAN, NAN, -INFINITY, NAN},
                                            .shared = {},
                                            .rows = 1,
                                            .experts = 4,
                                            .active = 3,
                                            .renormalise = true});
  EXPECT_EQ(no_numbers.chosen, (std::vector<int32_t>{0, 1, 2}));
}

// More experts than a warp has lanes, more rows than a block has warps, and many equal logits.
TEST_P(ExpertsKernels, RouteAgreesWithTheReference) {
  SCOPED_TRACE(RerunHint());
  for (int round = 0; round < 12; ++round) {
    Routing problem{.logits = {},
                    .shared = {},
                    .rows = 1 + static_cast<int64_t>(rng_() % 9),
                    .experts = 1 + static_cast<int64_t>(rng_() % 70),
                    .active = 1,
                    .renormalise = round % 2 == 0};
    problem.active +=
        static_cast<int64_t>(rng_() % static_cast<uint64_t>(std::min(problem.experts, int64_t{8})));
    problem.logits.resize(static_cast<size_t>(problem.rows * problem.experts));
    for (float& each : problem.logits) each = static_cast<float>(rng_() % 8) / 2;
    if (round % 3 == 0) problem.shared = RandomFloats(problem.rows, rng_);
    const Routed want = RouteOnHost(problem);
    const Routed got = RouteOnKernels(problem);
    EXPECT_EQ(got.chosen, want.chosen) << problem.experts << " of which " << problem.active;
    EXPECT_LT(RelativeDistance(got.shares, want.shares), 2e-6);
  }
}

// Few rows to an expert, and more than a block takes at once; experts that nobody chose, a shared
// one of another width.
TEST_P(ExpertsKernels, ExpertsAgreeInEveryStorage) {
  SCOPED_TRACE(RerunHint());
  struct Case {
    ElementType type;
    int64_t group;
  };
  for (const auto& [type, group] : {Case{ElementType::kFp16, 0},
                                    {ElementType::kBf16, 0},
                                    {ElementType::kInt8, 0},
                                    {ElementType::kInt8, 32},
                                    {ElementType::kInt4, 32},
                                    {ElementType::kInt4, 128}}) {
    const ElementType half =
        type == ElementType::kFp16 || group != 0 ? ElementType::kFp16 : ElementType::kBf16;
    const bool shared = group == 0;
    Mixture mixture;
    MakeExperts(type, group,
                shared ? std::vector<int64_t>{64, 64, 64, 128} : std::vector<int64_t>{64, 64, 64},
                mixture);
    for (const int64_t rows : {1, 7, 60}) {
      SCOPED_TRACE(testing::Message()
                   << NameOf(type) << " in groups of " << group << ", " << rows << " rows");
      const Problem problem = Random(half, rows, 3, 2, shared);
      EXPECT_LT(RelativeDistance(OnKernels(problem, mixture), OnHost(problem, mixture)),
                half == ElementType::kFp16 ? 1e-3 : 6e-3);  // what is behind the gate is rounded
    }
  }
}

// Bit for bit what each row gets alone, though alone it meets another kernel.
TEST_P(ExpertsKernels, ExpertsDoNotMixRows) {
  SCOPED_TRACE(RerunHint());
  Mixture mixture;
  MakeExperts(ElementType::kFp16, 0, {64, 64}, mixture);
  const Problem all = Random(ElementType::kFp16, 19, 2, 1, false);
  const std::vector<float> together = OnKernels(all, mixture);
  for (int64_t r = 0; r < all.rows; r += 6) {
    Problem one = all;
    const auto row = [&](auto& values, int64_t width) {
      values.erase(values.begin(), values.begin() + r * width);
      values.resize(static_cast<size_t>(width));
    };
    row(one.x.bytes, 2 * kHidden);
    row(one.before, kHidden);
    row(one.routed.chosen, 1);
    row(one.routed.shares, 1);
    one.rows = 1;
    const auto begin = together.begin() + r * kHidden;
    EXPECT_EQ(OnKernels(one, mixture), std::vector<float>(begin, begin + kHidden)) << r;
  }
}

// The weights of the others are NaN.
TEST_P(ExpertsKernels, AnExpertThatNobodyChoseIsNotRead) {
  Mixture mixture;
  MakeExperts(ElementType::kFp16, 0, {64, 64, 64}, mixture);
  Problem problem = Random(ElementType::kFp16, 5, 3, 1, false);
  std::fill(problem.routed.chosen.begin(), problem.routed.chosen.end(), 1);
  const std::vector<std::byte> nan(static_cast<size_t>(2 * 64 * kHidden), std::byte{0xff});
  for (const size_t e : {0u, 2u}) {
    for (const WeightView* matrix :
         {&mixture.on_device[e].gate, &mixture.on_device[e].up, &mixture.on_device[e].down}) {
      ASSERT_TRUE(device()
                      .CopyToDevice(const_cast<std::byte*>(matrix->data), nan.data(),
                                    Bytes(std::ssize(nan)))
                      .ok());
    }
  }
  EXPECT_LT(RelativeDistance(OnKernels(problem, mixture), OnHost(problem, mixture)), 1e-3);
}

TEST_P(ExpertsKernels, NoRowsAreNothingToDo) {
  Mixture mixture;
  MakeExperts(ElementType::kFp16, 0, {64}, mixture);
  EXPECT_TRUE(OnKernels(Random(ElementType::kFp16, 0, 1, 1, false), mixture).empty());
}

// Experts in a type that x is not in.
TEST_P(ExpertsKernels, TypesWithoutKernelAreRefused) {
  Mixture mixture;
  MakeExperts(ElementType::kFp16, 0, {64}, mixture);
  const absl::Status status = ops().experts({.x = nullptr,
                                             .chosen = nullptr,
                                             .shares = nullptr,
                                             .rows = 1,
                                             .choices = 1,
                                             .experts = mixture.on_device.data(),
                                             .count = 1,
                                             .activation = Activation::kSilu,
                                             .scratch = {},
                                             .out = nullptr,
                                             .narrowed = {nullptr, ElementType::kBf16},
                                             .table = mixture.table});
  EXPECT_EQ(status, absl::UnimplementedError("experts: no kernel for this type or shape"));
}

INSTANTIATE_TEST_SUITE_P(All, ExpertsKernels, testing::ValuesIn(KernelDevices()), DeviceName);

}  // namespace
}  // namespace plimsoll
