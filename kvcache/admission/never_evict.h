// The never-evict policy: what is admitted is promised all it may ever use, so nothing is cut off.
//
// A pure function of what the pool looks like at one moment: the same for the question (CanAdmit),
// the promise (Reserve) and a test without a pool.
//
// Threads: pure. Cost: O(1). Errors: none; a refusal is a Verdict.
#pragma once

#include <string_view>

#include "kvcache/admission/reservation.h"
#include "kvcache/base/units.h"

namespace plimsoll {

// What a decision is made from.
struct AdmissionView {
  Blocks total;
  Blocks free;                // or cached, less what is cached of the request's own prefix
  Blocks shared = Blocks(0);  // of the blocks needed, those that are there already
  Blocks ahead;               // what those need who wait already
  Tokens block_tokens;
  Tokens max_context;
  bool draining;
};

struct Verdict {
  Decision decision;
  Reason reason;
  Blocks needed;
  Blocks missing;  // for a wait: needed and ahead, less what is shared or free
  Tokens largest_fit;
  std::string_view binding_term;  // for a never: "pool" or "context"
};

// `tokens` is prompt and new together.
Verdict DecideNeverEvict(const AdmissionView& view, Tokens tokens);

}  // namespace plimsoll
