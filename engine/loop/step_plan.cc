#include "engine/loop/step_plan.h"

#include <algorithm>

#include "kvcache/base/check.h"

namespace plimsoll {

void PlanStep(std::span<const SequenceProgress> sequences, const StepLimits& limits,
              std::vector<StepShare>& out) {
  const int64_t count = std::ssize(sequences);
  PLIMSOLL_CHECK(count <= limits.rows && count <= limits.logit_rows, count, limits.rows);
  int64_t rows = limits.rows - std::count_if(sequences.begin(), sequences.end(),
                                             [](const auto& each) { return each.decoding; });
  int64_t spare_logits = limits.logit_rows - count;
  out.clear();
  for (size_t i = 0; i < sequences.size(); ++i) {
    const SequenceProgress& each = sequences[i];
    PLIMSOLL_CHECK(each.pending > 0 && (!each.decoding || each.pending == 1), i, each.pending);
    int64_t tokens = 1;
    if (!each.decoding) {
      tokens = std::min(each.pending, rows);
      if (each.all_logits) tokens = std::min(tokens, spare_logits + 1);
      if (tokens == 0) continue;
      rows -= tokens;
      if (each.all_logits) spare_logits -= tokens - 1;
    }
    out.push_back({i, tokens, tokens == each.pending});
  }
}

}  // namespace plimsoll
