// The three counts of a model's parameters and why they differ, for people and programs.
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kvcache/sizing/stored_counts.h"

namespace plimsoll {

// One sentence for each count, and one for each thing that makes them differ.
std::vector<std::string> CountLines(const StoredCounts& counts);

// unique, stored, hub, stored_known, extras: [{what, elements, certain}]; null where unknown.
nlohmann::ordered_json CountsAsJson(const StoredCounts& counts);

}  // namespace plimsoll
