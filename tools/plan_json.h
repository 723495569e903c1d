// An inference plan for programs. The keys are stable: model, memory, capacity, deployment,
// formulas, textbook, and where they were asked for or are needed checkpoint, wanted, nearest_fits
// and curve.
//
// Threads: pure. Cost: builds a value. Errors: none.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/plan_report.h"

namespace plimsoll {

// Keys stay in the order in which they are written.
nlohmann::ordered_json PlanAsJsonValue(const PlanReport& report);

std::string PlanAsJson(const PlanReport& report);

}  // namespace plimsoll
