// A trace decoded step by step under an admission policy, also one that promises less than the
// whole, so that running requests may outgrow the pool and stop for one another.
//
// The very KvCache and AdmissionPolicy that a server runs decide and count; only time is simulated.
// In each step those who wait start, first come first served, for as long as the policy lets them;
// then each running request takes one token slot more, the oldest first; then each has one token
// more, and those with all of theirs end. A request starts with room for its prompt and one token.
// Where no block is left, a victim stops and gives its blocks back. It waits again, at its place by
// arrival, and when it starts anew the tokens it had are computed again at once.
//
// With an eviction policy, full blocks of prompts are shared by the ids of the trace from when they
// are computed, and kept until their room is needed. What is found need not be computed, and what
// is cached counts as free. Generated tokens have no names, so who starts over finds its prompt at
// most.
//
// A backlog takes no account of arrivals: all requests are there from the start, prompts take no
// time, and the run stops when the last one has started. Without it, requests come at their
// arrival, a prompt takes its prefill time, and the run stops when the last one has ended.
//
// Invariants, checked at every step: blocks are conserved; the oldest running request is never a
// victim, so every request ends. At the end of a run with arrivals nothing is held.
//
// Threads: none. Cost: O(running) per step. Errors: InvalidArgument from the options, and for a
// workload without time for a token. The same input gives the same report.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "kvcache/admission/admission_policy.h"
#include "kvcache/admission/victim.h"
#include "kvcache/pool/kv_cache.h"
#include "tools/replay/declared_length.h"
#include "tools/replay/replay_report.h"
#include "tools/replay/workload.h"

namespace plimsoll {

struct StepOptions {
  Blocks blocks;
  Tokens block_tokens = Tokens(16);
  Tokens context;  // longer requests are refused; more than the pool holds counts as what it holds
  PolicyOptions policy = {};
  VictimRule victim = VictimRule::kNewest;
  DeclaredLength declared = {};
  uint64_t seed = 0;  // of what is declared
  Eviction eviction = Eviction::kOff;
  bool backlog = false;
  // Called after every step, with what was counted so far.
  std::function<void(const KvCache&, const StepFigures&)> on_step = {};
};

absl::StatusOr<ReplayReport> SimulateSteps(const Workload& workload, const StepOptions& options);

}  // namespace plimsoll
