// Rows of logits with all that makes a sampler stumble, and how each is to be drawn from.
#pragma once

#include <limits>
#include <random>
#include <vector>

#include "engine/ops/sampler.h"
#include "tests/engine/ops/problems.h"

namespace plimsoll {

// Any options in their range, the ends of it among them.
inline Sampling AnySampling(int64_t vocab, std::mt19937& rng) {
  constexpr double kTemperatures[] = {0, 0.01, 0.7, 1, 1.3, 30};
  constexpr double kShares[] = {1, 1, 1e-9, 0.1, 0.5, 0.9, 0.999};
  const int64_t ks[] = {0, 0, 1, 2, 5, vocab / 2, vocab, vocab + 7};
  return {.temperature = kTemperatures[rng() % std::size(kTemperatures)],
          .top_k = ks[rng() % std::size(ks)],
          .top_p = kShares[rng() % std::size(kShares)],
          .seed = rng(),
          .step = rng() % 100};
}

// Of numbers that may be few and so often equal, of infinities, of what is no number.
inline std::vector<float> AnyLogits(int64_t vocab, std::mt19937& rng) {
  std::vector<float> logits = RandomFloats(vocab, rng, 3.0f);
  const auto kind = rng() % 6;
  for (float& logit : logits) {
    const auto dice = rng() % 10;
    if (kind == 1) logit = std::floor(logit);
    if (kind == 2 && dice < 5) logit = -std::numeric_limits<float>::infinity();
    if (kind == 3 && dice < 3) logit = std::numeric_limits<float>::quiet_NaN();
    if (kind == 4) logit = dice < 9 ? 0.0f : -0.0f;
    if (kind == 5) logit *= 1e-3f;
  }
  return logits;
}

struct SampleProblem {
  SampleProblem(int64_t its_rows, int64_t its_vocab, std::mt19937& rng)
      : rows(its_rows), vocab(its_vocab) {
    for (int64_t r = 0; r < rows; ++r) {
      const std::vector<float> row = AnyLogits(vocab, rng);
      logits.insert(logits.end(), row.begin(), row.end());
      draws.push_back(DrawOf(AnySampling(vocab, rng)));
    }
  }

  std::vector<int32_t> TokensOf(const Ops& ops) const {
    std::vector<int32_t> tokens(static_cast<size_t>(rows), -2);
    const absl::Status status = ops.sample({.logits = logits.data(),
                                            .rows = rows,
                                            .vocab = vocab,
                                            .draws = draws.data(),
                                            .tokens = tokens.data()});
    EXPECT_TRUE(status.ok()) << status;
    return tokens;
  }

  int64_t rows, vocab;
  std::vector<float> logits;
  std::vector<Draw> draws;
};

}  // namespace plimsoll
