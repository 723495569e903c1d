#include "tools/plan_explain.h"

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"

namespace plimsoll {

std::string ExplanationAsText(const Explanation& explanation) {
  const std::string size = explanation.unit == "bytes"
                               ? " (" + FormatSize(Bytes(explanation.value)) + ")"
                               : std::string();
  std::string out =
      absl::StrFormat("%s = %s\n     = %s %s%s\n\n", explanation.term, explanation.formula,
                      Grouped(explanation.value), explanation.unit, size);
  int number = 0;
  for (const ExplainStep& step : explanation.steps) {
    out += absl::StrFormat("  %2d. %s", ++number, step.text);
    out += step.source.empty() ? "\n" : "   [" + step.source + "]\n";
  }
  return out;
}

nlohmann::ordered_json ExplanationAsJson(const Explanation& explanation) {
  nlohmann::ordered_json steps = nlohmann::ordered_json::array();
  for (const ExplainStep& step : explanation.steps) {
    steps.push_back({{"text", step.text}, {"source", step.source}});
  }
  return {{"term", explanation.term},
          {"formula", explanation.formula},
          {"steps", steps},
          {"value", explanation.value},
          {"unit", explanation.unit}};
}

}  // namespace plimsoll
