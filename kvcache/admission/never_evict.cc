#include "kvcache/admission/never_evict.h"

#include <algorithm>

#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

// What `wanted` is short of `there`.
Blocks Short(Blocks wanted, Blocks there) { return wanted > there ? wanted - there : Blocks(0); }

Blocks Beyond(Blocks needed, Blocks shared) { return needed - std::min(shared, needed); }

}  // namespace

Verdict DecideEver(const AdmissionView& view, Tokens tokens) {
  const Tokens pool = view.total.value() * view.block_tokens;
  const Tokens of_tenant = view.most_ever.value() * view.block_tokens;
  const Tokens room = std::min(pool, of_tenant);
  Verdict verdict{.decision = Decision::kAdmitted,
                  .reason = Reason::kNone,
                  .needed = BlocksForSequence(tokens, view.block_tokens),
                  .missing = Blocks(0),
                  .largest_fit = std::min(room, view.max_context),
                  .binding_term = {}};
  if (tokens <= verdict.largest_fit) return verdict;
  verdict.decision = Decision::kNever;
  verdict.binding_term = view.max_context < room ? "context" : of_tenant < pool ? "tenant" : "pool";
  verdict.reason = verdict.binding_term == "tenant" ? Reason::kTenantLimit : Reason::kNeverFits;
  return verdict;
}

bool FitsInOwn(const AdmissionView& view, Blocks needed) {
  return view.ahead.first_of_purse && Beyond(needed, view.shared) <= view.own;
}

void DecideNow(const AdmissionView& view, bool in_own, bool allowed, Verdict& verdict) {
  const Blocks wanted = Beyond(verdict.needed, view.shared);
  const Blocks beyond_quota = Short(view.ahead.of_tenant + wanted, view.left);
  const Blocks beyond_free = in_own ? Blocks(0) : Short(view.ahead.in_round + wanted, view.free);
  const bool may = in_own || (view.ahead.first && allowed);
  verdict.missing = std::max(beyond_quota, beyond_free);
  if (!may) verdict.missing = std::max(verdict.missing, Blocks(1));
  const bool closed = view.draining || view.learning;
  if (!closed && verdict.missing == Blocks(0)) return;
  verdict.decision = Decision::kWait;
  verdict.reason = view.draining              ? Reason::kDraining
                   : view.learning            ? Reason::kLearning
                   : beyond_quota > Blocks(0) ? Reason::kTenantQuota
                                              : Reason::kNoFreeBlocks;
}

Verdict DecideNeverEvict(const AdmissionView& view, Tokens tokens) {
  Verdict verdict = DecideEver(view, tokens);
  if (verdict.decision == Decision::kNever) return verdict;
  DecideNow(view, FitsInOwn(view, verdict.needed), /*allowed=*/true, verdict);
  return verdict;
}

}  // namespace plimsoll
