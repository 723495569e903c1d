// CUDA's sampler draws the reference's tokens, on the emulator and on a GPU.
#include "tests/engine/ops/device_problem.h"
#include "tests/engine/ops/sample_problem.h"

namespace plimsoll {
namespace {

class SampleKernels : public OnDevice {
 protected:
  std::vector<int32_t> TokensOf(const SampleProblem& problem) {
    int32_t* const tokens = Take<int32_t>(problem.rows);
    const absl::Status status = ops().sample({.logits = Put(problem.logits),
                                              .rows = problem.rows,
                                              .vocab = problem.vocab,
                                              .draws = Put(problem.draws),
                                              .tokens = tokens});
    EXPECT_TRUE(status.ok()) << status;
    return Get(tokens, problem.rows);
  }
};

TEST_P(SampleKernels, DrawTheTokensOfTheReference) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const int64_t vocab : {1, 16, 17, 256, 257, 1000}) {
    const SampleProblem problem(12, vocab, rng);
    EXPECT_EQ(TokensOf(problem), problem.TokensOf(ReferenceOps())) << vocab;
  }
}

TEST_P(SampleKernels, DrawFromAVocabularyOfARealModel) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  SampleProblem problem(1, 70'000, rng);
  problem.draws[0] = DrawOf({.temperature = 0.8, .top_k = 50, .top_p = 0.9, .seed = 5});
  EXPECT_EQ(TokensOf(problem), problem.TokensOf(ReferenceOps()));
}

TEST_P(SampleKernels, AVocabularyBeyondTheSumsIsRefused) {
  EXPECT_EQ(ops()
                .sample({.logits = nullptr,
                         .rows = 1,
                         .vocab = kVocabMost + 1,
                         .draws = nullptr,
                         .tokens = nullptr})
                .code(),
            absl::StatusCode::kUnimplemented);
}

INSTANTIATE_TEST_SUITE_P(All, SampleKernels, testing::ValuesIn(KernelDevices()), DeviceName);

}  // namespace
}  // namespace plimsoll
