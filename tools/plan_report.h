// An inference plan for people (a table of terms, then the capacity) and for programs (JSON).
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <string>
#include <vector>

#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/nearest_fit.h"

namespace plimsoll {

// `fits`: for a plan with a shortfall, what would fit.
std::string PlanAsText(const InferencePlan& plan, const std::vector<FitSetting>& fits);

// The object described in the help of `plimsoll plan`. A plan with a shortfall has
// memory.shortfall_bytes and nearest_fits besides.
std::string PlanAsJson(const InferencePlan& plan, const std::vector<FitSetting>& fits);

}  // namespace plimsoll
