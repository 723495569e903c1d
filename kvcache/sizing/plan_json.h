// An inference plan as JSON. The keys are stable: model, memory, capacity, deployment and formulas.
//
// Threads: pure. Cost: builds a value. Errors: none.
//
// This header shows nlohmann::json, so it is private to the library and not installed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

// Keys stay in the order in which they are written.
nlohmann::ordered_json PlanAsJsonValue(const InferencePlan& plan);
nlohmann::ordered_json ContextsAsJson(const std::vector<ContextCapacity>& contexts);

// As a file has it: indented, with a line feed at the end. Bytes that are no UTF-8, which a name
// that comes from a folder's may have, are replaced.
std::string JsonText(const nlohmann::ordered_json& json);

}  // namespace plimsoll
