// Every table's linear over int8 and int4 weights against the reference.
#include <gmock/gmock.h>

#include "engine/ops/cpu_threads.h"
#include "hwy/targets.h"
#include "tests/engine/ops/quantised_problems.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;

constexpr ElementType kTypes[] = {ElementType::kInt8, ElementType::kInt4};
// Float sums of up to 4101 products, beside the sum of their magnitudes; see LargestError.
constexpr double kTolerance = 5e-7;

struct Problem {
  int64_t rows;
  QuantisedWeight weight;
  std::vector<float> x;
  std::vector<float> before;

  Problem(int64_t row_count, ElementType type, int64_t outputs, int64_t cols, int64_t group,
          std::mt19937& rng)
      : rows(row_count),
        weight(type, outputs, cols, group, rng),
        x(RandomFloats(rows * cols, rng)),
        before(RandomFloats(rows * outputs, rng)) {}

  std::vector<float> Run(const Ops& ops) const {
    std::vector<float> out = before;
    EXPECT_TRUE(ops.linear({.x = x.data(),
                            .rows = rows,
                            .weight = weight.view,
                            .bias = {},
                            .accumulate = true,
                            .out = out.data()})
                    .ok());
    return out;
  }

  // |difference| / sum over k of |x| times the largest weight, at most. An int4 sum is a
  // difference of two, each as large as that.
  double LargestError(const Ops& ops) const {
    const std::vector<float> got = Run(ops);
    const std::vector<float> want = Run(ReferenceOps());
    const double most = weight.view.type == ElementType::kInt8 ? 128 / 64.0 : 16 / 64.0;
    double largest = 0;
    for (int64_t r = 0; r < rows; ++r) {
      double magnitude = 1;
      for (int64_t k = 0; k < weight.view.cols; ++k) {
        magnitude += most * std::abs(double{x[static_cast<size_t>(r * weight.view.cols + k)]});
      }
      for (int64_t n = 0; n < weight.view.rows; ++n) {
        const size_t at = static_cast<size_t>(r * weight.view.rows + n);
        const double error = std::abs(double{got[at]} - want[at]) / magnitude;
        largest = std::isnan(error) ? INFINITY : std::max(largest, error);
      }
    }
    return largest;
  }
};

// Numbers 3 and -5 at scale 1/2, then 7 and -128 at scale 2: with x = 1, 10, 100, 1000, in groups
// of a whole row each.
TEST(Reference, LinearOfInt8MultipliesByTheRowsScale) {
  const std::vector<int8_t> q = {3, -5, 7, -128};
  std::vector<std::byte> scales(4);
  WriteElement(scales.data(), ElementType::kFp16, 0, 0.5f);
  WriteElement(scales.data(), ElementType::kFp16, 1, 2.0f);
  const std::vector<float> x = {1, 10};
  std::vector<float> out(2);
  ASSERT_TRUE(ReferenceOps()
                  .linear({.x = x.data(),
                           .rows = 1,
                           .weight = {.data = reinterpret_cast<const std::byte*>(q.data()),
                                      .type = ElementType::kInt8,
                                      .rows = 2,
                                      .cols = 2,
                                      .scales = scales.data(),
                                      .group = 2},
                           .bias = {},
                           .accumulate = false,
                           .out = out.data()})
                  .ok());
  EXPECT_THAT(out, ElementsAre(0.5f * (3 - 50), 2 * (7 - 1280)));
}

// 33 columns are a group of 32 and one of 1. The even column is in the low bits, and the last byte
// of a row is half empty. All of the first group are zero but columns 0 and 31.
TEST(Reference, LinearOfInt4SubtractsTheGroupsZero) {
  std::vector<std::byte> q(17, std::byte{0x88});
  q[0] = std::byte{0x89};
  q[15] = std::byte{0x08};
  q[16] = std::byte{0x0c};
  std::vector<std::byte> scales(8);
  const float words[] = {0.5f, 8, 4, 15};
  for (int64_t i = 0; i < 4; ++i) {
    WriteElement(scales.data(), ElementType::kFp16, i, words[i]);
  }
  std::vector<float> x(33, 1.0f);
  x[31] = 10;
  x[32] = 100;
  float out = 0;
  ASSERT_TRUE(ReferenceOps()
                  .linear({.x = x.data(),
                           .rows = 1,
                           .weight = {.data = q.data(),
                                      .type = ElementType::kInt4,
                                      .rows = 1,
                                      .cols = 33,
                                      .scales = scales.data(),
                                      .group = 32},
                           .bias = {},
                           .accumulate = false,
                           .out = &out})
                  .ok());
  EXPECT_EQ(out, 0.5f * (1 * 1 - 8 * 10) + 4 * -3 * 100);
}

class EveryQuantisedLinear : public EveryTable {};

// On and beside the tile of 4 outputs by 3 rows, the strip of 32 outputs and the block of 12 rows.
TEST_P(EveryQuantisedLinear, AgreesOnAndBesideEveryEdge) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kTypes) {
    for (const int64_t rows : {0, 1, 2, 3, 4, 11, 12, 13, 25}) {
      for (const int64_t outputs : {1, 3, 4, 5, 32, 33}) {
        SCOPED_TRACE(testing::Message() << rows << "x" << outputs << " " << NameOf(type));
        ASSERT_LT(Problem(rows, type, outputs, 70, 32, rng).LargestError(*GetParam()), kTolerance);
      }
    }
  }
}

// Columns on and beside the vector's bytes, the group and the block of 2048 columns.
TEST_P(EveryQuantisedLinear, AgreesForEveryGroupAndLength) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kTypes) {
    for (const int64_t cols :
         {1, 2, 15, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300, 2047, 2048, 2049, 4101}) {
      for (const int64_t group : {int64_t{32}, int64_t{64}, int64_t{128}, int64_t{2048}, cols}) {
        SCOPED_TRACE(testing::Message() << cols << " by " << group << " " << NameOf(type));
        ASSERT_LT(Problem(4, type, 5, cols, group, rng).LargestError(*GetParam()), kTolerance);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Built, EveryQuantisedLinear, testing::ValuesIn(AllOps()), TableName);

TEST(CpuQuantisedLinear, ARowsResultDoesNotDependOnTheOtherRowsNorOnThreads) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  const int before = CpuThreads().threads();
  for (const ElementType type : kTypes) {
    const Problem problem(14, type, 37, 2100, 64, rng);
    const std::vector<float> together = problem.Run(CpuOps());
    SetCpuThreads(3);
    EXPECT_EQ(problem.Run(CpuOps()), together);
    SetCpuThreads(before);
    for (int64_t r = 0; r < problem.rows; ++r) {
      std::vector<float> alone(problem.before.begin() + r * 37,
                               problem.before.begin() + (r + 1) * 37);
      ASSERT_TRUE(CpuOps()
                      .linear({.x = problem.x.data() + r * 2100,
                               .rows = 1,
                               .weight = problem.weight.view,
                               .bias = {},
                               .accumulate = true,
                               .out = alone.data()})
                      .ok());
      ASSERT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + r * 37)) << "row " << r;
    }
  }
}

// Each kind of machine that this one can stand in for.
TEST(CpuQuantisedLinear, EveryKindOfMachineAgrees) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kTypes) {
    const Problem problem(5, type, 9, 301, 32, rng);
    for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
      hwy::SetSupportedTargetsForTest(left & -left);
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
      EXPECT_LT(problem.LargestError(CpuOps()), kTolerance) << hwy::TargetName(left & -left);
      hwy::SetSupportedTargetsForTest(0);
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    }
  }
}

TEST(CpuQuantisedLinearDeathTest, AGroupThatCutsVectorsAborts) {
  std::mt19937 rng = SeededGenerator();
  const Problem problem(1, ElementType::kInt4, 1, 100, 48, rng);
  EXPECT_DEATH(problem.Run(CpuOps()), "IsWeightGroup.*48 100");
}

}  // namespace
}  // namespace plimsoll
