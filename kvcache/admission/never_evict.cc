#include "kvcache/admission/never_evict.h"

#include <algorithm>

#include "kvcache/sizing/block_demand.h"

namespace plimsoll {

Verdict DecideNeverEvict(const AdmissionView& view, Tokens tokens) {
  const Tokens pool = view.total.value() * view.block_tokens;
  Verdict verdict{.decision = Decision::kAdmitted,
                  .reason = Reason::kNone,
                  .needed = BlocksForSequence(tokens, view.block_tokens),
                  .missing = Blocks(0),
                  .largest_fit = std::min(pool, view.max_context),
                  .binding_term = {}};
  if (tokens > verdict.largest_fit) {
    verdict.decision = Decision::kNever;
    verdict.reason = Reason::kNeverFits;
    verdict.binding_term = view.max_context < pool ? "context" : "pool";
    return verdict;
  }
  const Blocks wanted = view.ahead + verdict.needed - view.shared;
  if (wanted > view.free) verdict.missing = wanted - view.free;
  if (view.draining || verdict.missing > Blocks(0)) {
    verdict.decision = Decision::kWait;
    verdict.reason = view.draining ? Reason::kDraining : Reason::kNoFreeBlocks;
  }
  return verdict;
}

}  // namespace plimsoll
