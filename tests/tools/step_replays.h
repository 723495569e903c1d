// Replays step by step, with the options that tests of them share.
#pragma once

#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/sizing/block_demand.h"
#include "tools/replay/step_simulation.h"
#include "tools/replay/trace.h"

namespace plimsoll {

inline ReplayReport Replayed(const std::vector<TraceRequest>& trace, const StepOptions& options,
                             const WorkloadOptions& pace = {.prefill_rate = 1000,
                                                            .decode_ms = 10}) {
  const auto workload = MakeWorkload(trace, pace);
  PLIMSOLL_CHECK(workload.ok(), workload.status().message());
  const auto report = SimulateSteps(*workload, options);
  PLIMSOLL_CHECK(report.ok(), report.status().message());
  return *report;
}

inline StepOptions Pool(int64_t blocks, int64_t block_tokens, const PolicyOptions& policy) {
  return {.blocks = Blocks(blocks),
          .block_tokens = Tokens(block_tokens),
          .context = Tokens(kMaxTokens),
          .policy = policy};
}

}  // namespace plimsoll
