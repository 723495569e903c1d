// `plan --explain` for people and for programs.
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "kvcache/sizing/explain.h"

namespace plimsoll {

// The formula, then the steps, numbered, each with where its figure comes from.
std::string ExplanationAsText(const Explanation& explanation);
// term, formula, steps: [{text, source}], value, unit.
nlohmann::ordered_json ExplanationAsJson(const Explanation& explanation);

}  // namespace plimsoll
