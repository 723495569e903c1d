// Every table's linear against the reference, and what the CPU's promises beyond that.
#include "engine/ops/cpu_threads.h"
#include "hwy/targets.h"
#include "tests/engine/ops/problems.h"

namespace plimsoll {
namespace {

// Float sums of up to 4101 products, beside the sum of their magnitudes; see LargestError.
constexpr double kTolerance = 5e-7;

struct LinearProblem {
  int64_t rows, outputs, cols;
  std::vector<float> x;
  Stored weight;
  Stored bias;
  std::vector<float> before;

  LinearProblem(int64_t row_count, int64_t output_count, int64_t col_count, ElementType type,
                std::mt19937& rng)
      : rows(row_count),
        outputs(output_count),
        cols(col_count),
        x(RandomFloats(rows * cols, rng)),
        weight(type, RandomFloats(outputs * cols, rng)),
        bias(type, RandomFloats(outputs, rng)),
        before(RandomFloats(rows * outputs, rng)) {}

  std::vector<float> Run(const Ops& ops, bool with_bias, bool accumulate) const {
    std::vector<float> out = before;
    EXPECT_TRUE(ops.linear({.x = x.data(),
                            .rows = rows,
                            .weight = weight.View(outputs, cols),
                            .bias = with_bias ? bias.View(1, outputs) : WeightView{},
                            .accumulate = accumulate,
                            .out = out.data()})
                    .ok());
    return out;
  }

  // How far the table is from the reference at most: |difference| / sum over k of |x w|. Beside the
  // result itself it would mean nothing where the products cancel.
  double LargestError(const Ops& ops, bool with_bias, bool accumulate) const {
    const std::vector<float> got = Run(ops, with_bias, accumulate);
    const std::vector<float> want = Run(ReferenceOps(), with_bias, accumulate);
    double largest = 0;
    for (int64_t i = 0; i < rows * outputs; ++i) {
      double magnitude = 1;  // for bias and what was there
      for (int64_t k = 0; k < cols; ++k) {
        const float w = ReadElement(weight.bytes.data(), weight.type, i % outputs * cols + k);
        magnitude += std::abs(double{x[static_cast<size_t>(i / outputs * cols + k)]} * w);
      }
      const size_t at = static_cast<size_t>(i);
      const double error = std::abs(double{got[at]} - want[at]) / magnitude;
      largest = std::isnan(error) ? INFINITY : std::max(largest, error);
    }
    return largest;
  }
};

class EveryLinear : public EveryTable {};

// On and beside the vector width, the tile of 4 outputs by 3 rows, the strip of 32 outputs, the
// block of 24 rows and that of 2048 columns.
TEST_P(EveryLinear, AgreesOnAndBesideEveryEdge) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kStorageTypes) {
    for (const int64_t rows : {0, 1, 2, 3, 4, 5, 23, 24, 25, 50}) {
      for (const int64_t outputs : {1, 3, 4, 5, 31, 32, 33, 65}) {
        for (const int64_t cols : {1, 15, 16, 17, 100}) {
          SCOPED_TRACE(testing::Message()
                       << rows << "x" << outputs << "x" << cols << " " << NameOf(type));
          const LinearProblem problem(rows, outputs, cols, type, rng);
          ASSERT_LT(problem.LargestError(*GetParam(), false, false), kTolerance);
        }
      }
    }
  }
}

TEST_P(EveryLinear, AgreesAcrossBlocksOfColumnsWithBiasAndAccumulating) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kStorageTypes) {
    for (const int64_t rows : {1, 3, 4, 7}) {
      for (const int64_t cols : {2047, 2048, 2049, 4101}) {
        const LinearProblem problem(rows, 6, cols, type, rng);
        for (const bool with_bias : {false, true}) {
          for (const bool accumulate : {false, true}) {
            SCOPED_TRACE(testing::Message()
                         << rows << "x" << cols << " " << NameOf(type) << with_bias << accumulate);
            ASSERT_LT(problem.LargestError(*GetParam(), with_bias, accumulate), kTolerance);
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Built, EveryLinear, testing::ValuesIn(AllOps()), TableName);

TEST(CpuLinear, ARowsResultDoesNotDependOnTheOtherRows) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kStorageTypes) {
    LinearProblem problem(40, 37, 2100, type, rng);
    const std::vector<float> together = problem.Run(CpuOps(), true, false);
    for (int64_t r = 0; r < 40; ++r) {
      std::vector<float> alone(37);
      ASSERT_TRUE(CpuOps()
                      .linear({.x = problem.x.data() + r * 2100,
                               .rows = 1,
                               .weight = problem.weight.View(37, 2100),
                               .bias = problem.bias.View(1, 37),
                               .accumulate = false,
                               .out = alone.data()})
                      .ok());
      for (size_t n = 0; n < 37; ++n) {
        ASSERT_EQ(alone[n], together[static_cast<size_t>(r) * 37 + n]) << "row " << r;
      }
    }
  }
}

TEST(CpuLinear, TheNumberOfThreadsChangesNothing) {
  std::mt19937 rng = SeededGenerator();
  const LinearProblem problem(30, 200, 300, ElementType::kBf16, rng);
  const int before = CpuThreads().threads();
  SetCpuThreads(1);
  const std::vector<float> one = problem.Run(CpuOps(), true, false);
  for (const int threads : {2, 3, 8}) {
    SetCpuThreads(threads);
    EXPECT_EQ(problem.Run(CpuOps(), true, false), one) << threads;
  }
  SetCpuThreads(before);
}

// Each kind of machine that this one can stand in for.
TEST(CpuLinear, EveryKindOfMachineAgrees) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kStorageTypes) {
    const LinearProblem problem(5, 9, 101, type, rng);
    for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
      hwy::SetSupportedTargetsForTest(left & -left);
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
      EXPECT_LT(problem.LargestError(CpuOps(), true, false), kTolerance)
          << hwy::TargetName(left & -left);
      hwy::SetSupportedTargetsForTest(0);
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    }
  }
}

}  // namespace
}  // namespace plimsoll
