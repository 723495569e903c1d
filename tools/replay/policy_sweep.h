// Every admission policy at many settings on one workload: how many run for how many preemptions.
//
// Threads: none. Cost: a simulation for each setting, some twenty. Errors: those of SimulateSteps.
// The same input gives the same table.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/replay/step_simulation.h"

namespace plimsoll {

struct SweepRow {
  PolicyOptions policy;
  DeclaredLength declared;  // what never-evict goes by; the others do not ask
  std::string setting;      // "5 %" of a watermark, "1 %" of a goal, "true" for a declared length
  ReplayReport report;

  double PreemptionsPer100() const;
};

struct PolicySweep {
  StepOptions pool;            // what all rows share
  std::vector<SweepRow> rows;  // by policy, then from the most to the least careful
};

// `options` says all but the policies.
absl::StatusOr<PolicySweep> SweepPolicies(const Workload& workload, const StepOptions& options);

// A line for each row.
std::string ToText(const PolicySweep& sweep);
// One object; its "rows" are the reports, each with its policy and setting.
std::string ToJson(const PolicySweep& sweep);

}  // namespace plimsoll
