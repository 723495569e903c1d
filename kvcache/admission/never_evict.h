// The arithmetic of a decision: may this request ever fit, and does it fit now?
//
// Never-evict is the policy that needs nothing else: what is admitted is promised all it may ever
// use, so nothing is cut off. Other policies start from the same figures.
//
// A pure function of what the pool looks like at one moment: the same for the question (CanAdmit),
// the promise (Reserve) and a test without a pool.
//
// Threads: pure. Cost: O(1). Errors: none; a refusal is a Verdict.
#pragma once

#include <string_view>

#include "kvcache/admission/reservation.h"
#include "kvcache/admission/wait_queue.h"
#include "kvcache/base/units.h"

namespace plimsoll {

// What a decision is made from.
struct AdmissionView {
  Blocks total;
  Blocks most_ever;           // of these, what its tenant may hold while the pool is empty
  Blocks free;                // or cached, and not kept for others
  Blocks own;                 // of these, what only its tenant may have
  Blocks left;                // until its tenant is at its maximum
  Blocks shared = Blocks(0);  // of the blocks needed, those that its tenant holds already
  Ahead ahead = {};
  Tokens block_tokens;
  Tokens max_context;
  bool draining;
  bool learning = false;
};

struct Verdict {
  Decision decision;
  Reason reason;
  Blocks needed;
  Blocks missing;  // for a wait: needed and ahead, less what is there; at least 1 unless closed
  Tokens largest_fit;
  std::string_view binding_term;  // for a never: "pool", "context" or "tenant"
};

// What `tokens`, prompt and new together, need, and whether they can ever fit; nothing about now.
Verdict DecideEver(const AdmissionView& view, Tokens tokens);
// Whether `verdict.needed` blocks fit now. `in_own`: the request needs nobody else's blocks, so it
// waits only for those before it who share its tenant's minimum. `allowed`: its policy's word.
void DecideNow(const AdmissionView& view, bool in_own, bool allowed, Verdict& verdict);

// Both, for a request that is promised the whole.
Verdict DecideNeverEvict(const AdmissionView& view, Tokens tokens);
// Whether `needed` blocks need nobody else's.
bool FitsInOwn(const AdmissionView& view, Blocks needed);

}  // namespace plimsoll
