// An inference plan as a page for people: what fits in one sentence, the memory as a bar, capacity
// over context as curves, and every term with its formula.
//
// Threads: pure. Cost: builds a string of about 220 KB. Errors: none.
#pragma once

#include <string>
#include <vector>

#include "kvcache/sizing/capacity_curve.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/nearest_fit.h"

namespace plimsoll {

// `fits`: for a plan with a shortfall, what would fit. `curves`: the plan's own first.
std::string PlanAsHtml(const InferencePlan& plan, const std::vector<FitSetting>& fits,
                       const std::vector<CapacityCurve>& curves);

}  // namespace plimsoll
