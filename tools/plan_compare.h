// `plan --compare A B ...`: the same plan under several settings, side by side.
//
// Each argument is a model (a folder or file) or settings laid over the options that stand beside
// --compare: "weights=int4,kv=fp8,gpu=h200,tensor-parallel=2". Their names are those of the
// options; a flag is set with "=true". With one argument, the plan as given is the other side.
//
// Threads: none. Cost: a plan for each. Errors: InvalidArgument naming the argument.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/stored_counts.h"
#include "tools/plan_arguments.h"

namespace plimsoll {

struct ComparedPlan {
  std::string setting;  // the argument, or "as given"
  InferencePlan plan;
  StoredCounts counts;
};

inline constexpr size_t kMostCompared = 26;  // a letter each
absl::StatusOr<std::vector<ComparedPlan>> ComparePlans(const PlanArguments& base,
                                                       const std::vector<std::string>& settings);

// A row for each term and each figure of capacity; behind the first column each has its difference
// from it.
std::string ComparisonAsText(const std::vector<ComparedPlan>& compared);
// [{setting, and the keys of a plan}]
nlohmann::ordered_json ComparisonAsJson(const std::vector<ComparedPlan>& compared);

}  // namespace plimsoll
