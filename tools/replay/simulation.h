// A trace against the library itself, on a simulated clock.
//
// The very KvCache and AdmissionController that a server runs decide here; only time is simulated.
// Requests come at their arrival and queue without limit, first come first served. One that was
// admitted prefills, then takes one token per decode step, and ends with its last token. Blocks
// become live as tokens arrive: the prompt's when the prefill ends, each later one at its first
// token. At one instant, what ends comes before what arrives.
//
// With an eviction policy, full blocks of prompts are shared by the ids in the trace and kept for
// reuse. What a request finds saves it room; its times stay as they are.
//
// Invariants, checked at every event: blocks are conserved, and those taken are those promised to
// the requests that run (fewer where they share). At the end every block is free or cached.
//
// Threads: none. Cost: O(log n) for each arrival, end, and block that becomes live.
// Errors: InvalidArgument from the options. The same input gives the same report.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "kvcache/admission/admission_controller.h"
#include "tools/replay/replay_report.h"
#include "tools/replay/workload.h"

namespace plimsoll {

struct SimulationOptions {
  Blocks blocks;
  Tokens block_tokens = Tokens(16);
  Tokens max_context = Tokens(kMaxTokens);  // longer requests never fit
  Eviction eviction = Eviction::kOff;       // off: prefixes are not shared
  // Called after every event, with the time since the first arrival.
  std::function<void(Duration, const AdmissionController&)> on_event = {};
};

absl::StatusOr<ReplayReport> Simulate(const Workload& workload, const SimulationOptions& options);

}  // namespace plimsoll
