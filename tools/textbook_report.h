// `plan --parameters N`: what the textbook says of N parameters, for people and for programs.
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "kvcache/sizing/textbook_plan.h"

namespace plimsoll {

std::string TextbookAsText(const TextbookPlan& plan);
// {textbook: {parameters, layers, hidden, weights_bytes, ...}, formulas: [{term, formula, bytes}]}
nlohmann::ordered_json TextbookAsJson(const TextbookPlan& plan);

}  // namespace plimsoll
