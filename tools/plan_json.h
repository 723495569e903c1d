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

// As a file has it: indented, with a line feed at the end. Bytes that are no UTF-8, which a name
// that comes from a folder's may have, are replaced.
std::string JsonText(const nlohmann::ordered_json& json);

std::string PlanAsJson(const PlanReport& report);

}  // namespace plimsoll
