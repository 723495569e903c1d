// A sweep of policies as a page for people: the frontier of running requests and preemptions, and
// every setting with its figures.
//
// Threads: pure. Cost: builds a string of about 220 KB. Errors: none.
#pragma once

#include <string>

#include "tools/replay/policy_sweep.h"

namespace plimsoll {

std::string SweepAsHtml(const PolicySweep& sweep);

}  // namespace plimsoll
