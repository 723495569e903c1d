#include "tools/textbook_report.h"

#include <cstdint>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

// Textbooks count in powers of ten: "26.0 GB".
std::string DecimalText(Bytes bytes) {
  constexpr int64_t kMB = 1'000'000;
  const double megabytes = static_cast<double>(bytes.value()) / static_cast<double>(kMB);
  if (megabytes >= 1000.0) return absl::StrFormat("%.1f GB", megabytes / 1000.0);
  return absl::StrFormat("%.1f MB", megabytes);
}

}  // namespace

std::string TextbookAsText(const TextbookPlan& plan) {
  std::string out = absl::StrFormat(
      "%s of weights; serving takes %s to %s by the rule of thumb.\n\n"
      "%s parameters, by the textbook; a model of this size usually has %d layers of hidden %d\n\n",
      DecimalText(plan.weights_bytes), DecimalText(plan.serving_least_bytes),
      DecimalText(plan.serving_most_bytes), Grouped(plan.shape.parameters), plan.shape.layers,
      plan.shape.hidden);
  for (const PlanTerm& term : plan.formulas) {
    out += absl::StrFormat("  %-15s %21s %10s  %s\n", term.term, Grouped(term.bytes.value()),
                           FormatSize(term.bytes), term.formula);
  }
  return out + "\nWith --model instead, every term is exact.\n";
}

nlohmann::ordered_json TextbookAsJson(const TextbookPlan& plan) {
  nlohmann::ordered_json formulas = nlohmann::ordered_json::array();
  for (const PlanTerm& term : plan.formulas) {
    formulas.push_back(
        {{"term", term.term}, {"formula", term.formula}, {"bytes", term.bytes.value()}});
  }
  return {{"textbook",
           {{"parameters", plan.shape.parameters},
            {"layers", plan.shape.layers},
            {"hidden", plan.shape.hidden},
            {"weights_bytes", plan.weights_bytes.value()},
            {"input_bytes", plan.input_bytes.value()},
            {"output_bytes", plan.output_bytes.value()},
            {"kv_bytes_per_token", plan.kv_bytes_per_token.value()},
            {"serving_least_bytes", plan.serving_least_bytes.value()},
            {"serving_most_bytes", plan.serving_most_bytes.value()}}},
          {"formulas", formulas}};
}

}  // namespace plimsoll
