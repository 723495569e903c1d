// The page's files, built into the program (tools/cmake/PlimsollAssets.cmake).
//
// Threads: constants. Errors: none.
#pragma once

#include <string_view>

namespace plimsoll {

std::string_view DashboardPage();     // index.html
std::string_view DashboardStyle();    // dashboard.css
std::string_view DashboardCharts();   // charts.js
std::string_view DashboardScript();   // dashboard.js
std::string_view DashboardIcon();     // icon.svg
std::string_view DashboardLibrary();  // Chart.js

}  // namespace plimsoll
