// Curves of capacity for a terminal: a column of sequences for each setting and, for the plan as
// given, a bar on a logarithmic scale.
//
// Threads: pure. Cost: builds a string. Errors: none; there is at least one curve.
#pragma once

#include <string>
#include <vector>

#include "kvcache/sizing/capacity_curve.h"

namespace plimsoll {

std::string CapacityChart(const std::vector<CapacityCurve>& curves);

}  // namespace plimsoll
