// Which tokens of which sequences the next step computes.
//
// Every sequence that decodes takes one row; what is left of the rows goes to prompts, in order of
// arrival, as far as it reaches. One row of logits is kept for each sequence; what is left of
// those goes to sequences that want the logits of every position.
//
// Threads: pure. Cost: O(sequences); allocates nothing once `out` has room for one share each.
// Errors: more sequences than rows, of tokens or of logits, aborts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace plimsoll {

// Where a sequence is.
struct SequenceProgress {
  int64_t pending;  // > 0; tokens known and not yet computed: what is left of the prompt, or one
  bool decoding;    // the prompt is done
  bool all_logits;
};

struct StepLimits {
  int64_t rows;        // tokens of one step
  int64_t logit_rows;  // of them, those whose logits are computed
};

// What one sequence does in the step.
struct StepShare {
  size_t sequence;
  int64_t tokens;  // of those pending, the first so many
  bool last;       // all of them: the next token can be chosen
};

// Replaces `out`. Sequences are in order of arrival; those left out do nothing in this step.
void PlanStep(std::span<const SequenceProgress> sequences, const StepLimits& limits,
              std::vector<StepShare>& out);

}  // namespace plimsoll
