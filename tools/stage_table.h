// The stages of a pipeline as a table for people: layers, weights, K and V of a token, blocks.
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <string>

#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

// Empty for a plan of one stage. The stage that binds is marked.
std::string StageTable(const InferencePlan& plan);

}  // namespace plimsoll
