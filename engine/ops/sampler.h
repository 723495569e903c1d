// Chooses the next token from one row of logits.
//
// Temperature 0 takes the largest logit, the first of equals. Otherwise the logits are divided by
// the temperature, the `top_k` largest are kept, then the fewest of the most likely whose
// probabilities add up to `top_p`, and one of those is drawn. A NaN is never chosen.
//
// Invariants: the choice depends on the arguments alone, on any machine and device: `seed` and
// `step` make the random number, ties go to the lower token, and what is computed is said to the
// bit (sampling_rule.h).
//
// Threads: pure; `scratch` only spares the allocation. Cost: O(vocab), and a sort of what may be
// chosen. Errors: an option out of range aborts, as do empty logits; kNoToken where all are NaN.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/ops/sampling_rule.h"

namespace plimsoll {

struct Sampling {
  double temperature = 0.0;  // >= 0
  int64_t top_k = 0;         // >= 0; 0 keeps all
  double top_p = 1.0;        // in (0, 1]
  uint64_t seed = 0;
  uint64_t step = 0;  // which draw of this sequence
};

Draw DrawOf(const Sampling& sampling);

// A token that may be chosen.
struct Candidate {
  uint32_t order;
  int32_t token;
  uint64_t weight;
};

int32_t SampleToken(std::span<const float> logits, const Draw& draw,
                    std::vector<Candidate>& scratch);

}  // namespace plimsoll
