// Every table draws the same tokens from the same logits.
#include <gtest/gtest.h>

#include "tests/engine/ops/sample_problem.h"

namespace plimsoll {
namespace {

TEST(SampleAgreement, TheFastSamplerDrawsWhatTheReferenceDraws) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const int64_t vocab : {1, 2, 17, 300, 5000}) {
    for (int round = 0; round < 20; ++round) {
      const SampleProblem problem(12, vocab, rng);
      EXPECT_EQ(problem.TokensOf(CpuOps()), problem.TokensOf(ReferenceOps())) << vocab;
    }
  }
}

}  // namespace
}  // namespace plimsoll
