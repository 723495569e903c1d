// Chooses the next token from one row of logits.
//
// Temperature 0 takes the largest logit, the first of equals. Otherwise the logits are divided by
// the temperature, the `top_k` largest are kept, then the fewest of the most likely whose
// probabilities add up to `top_p`, and one of those is drawn. A NaN is never chosen.
//
// Invariants: the choice depends on the arguments alone, on any machine: `seed` and `step` make the
// random number, ties go to the lower token.
//
// Threads: pure; `scratch` only spares the allocation. Cost: O(vocab), and a sort of what may be
// chosen. Errors: an option out of range aborts, as do empty logits or logits that are all NaN.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace plimsoll {

struct Sampling {
  double temperature = 0.0;  // >= 0
  int64_t top_k = 0;         // >= 0; 0 keeps all
  double top_p = 1.0;        // in (0, 1]
  uint64_t seed = 0;
  uint64_t step = 0;  // which draw of this sequence
};

// A token that may be chosen.
struct Candidate {
  int32_t token;
  float logit;
  double weight;  // not normalised
};

int32_t SampleToken(std::span<const float> logits, const Sampling& sampling,
                    std::vector<Candidate>& scratch);

}  // namespace plimsoll
