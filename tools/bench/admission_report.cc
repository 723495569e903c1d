#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "tools/bench/admission_bench.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

// Three digits, or all before the point.
std::string Short(double value) {
  const double size = std::fabs(value);
  return absl::StrFormat("%.*f", size < 10 ? 2 : size < 100 ? 1 : 0, value);
}

std::string GoalText(const AdmissionFigure& figure) {
  if (!figure.goal) return "-";
  return absl::StrFormat("%s %s", figure.at_least ? ">=" : "<=", Short(*figure.goal));
}

}  // namespace

std::string AdmissionAsText(const AdmissionFigures& figures) {
  std::vector<TextRow> rows = {{"what", "unit", "ours", "beside", "ratio", "goal", ""}};
  for (const AdmissionFigure& figure : figures) {
    rows.push_back({figure.what, figure.unit, Short(figure.ours),
                    figure.peer ? Short(*figure.peer) : "-",
                    figure.peer ? absl::StrFormat("%.2f", figure.judged) : "-", GoalText(figure),
                    !figure.goal   ? ""
                    : figure.Met() ? "met"
                                   : "missed"});
  }
  return TextTable(rows);
}

std::string AdmissionAsJson(const AdmissionFigures& figures) {
  nlohmann::json all = nlohmann::json::array();
  for (const AdmissionFigure& figure : figures) {
    nlohmann::json one = {{"what", figure.what}, {"unit", figure.unit}, {"ours", figure.ours}};
    if (figure.peer) {
      one["beside"] = *figure.peer;
      one["ratio"] = figure.judged;
    }
    if (figure.goal) {
      one[figure.at_least ? "at_least" : "at_most"] = *figure.goal;
      one["met"] = figure.Met();
    }
    all.push_back(std::move(one));
  }
  const nlohmann::json report = {{"figures", std::move(all)}};
  return report.dump(2) + "\n";
}

}  // namespace plimsoll
