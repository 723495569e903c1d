// Files that are built into the program: what a page needs to stand alone, and what describes the
// JSON of both plans.
//
// Threads: pure. Cost: none; the text is part of the program. Errors: none.
#pragma once

#include <string_view>

namespace plimsoll {

std::string_view ChartLibrary();  // Chart.js, as the distribution packages it
std::string_view PageStyle();     // page.css
std::string_view PageScript();    // page.js: draws the charts

std::string_view PlanSchema();  // of the JSON of `plan` and `plan-training`

}  // namespace plimsoll
