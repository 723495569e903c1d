#include "tools/plan_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;  // keys in the order written here

std::string Row(const std::string& term, Bytes bytes, Bytes budget, const std::string& formula) {
  const double share = 100.0 * static_cast<double>(bytes.value()) /
                       static_cast<double>(std::max<int64_t>(budget.value(), 1));
  return absl::StrFormat("  %-15s %21s %12s %7.2f%%  %s\n", term, Grouped(bytes.value()),
                         FormatSize(bytes), share, formula);
}

// "  left out: prediction block (11,610,067,968 elements), vision tower"
std::string LeftOutLine(const InferencePlan& plan) {
  std::string line;
  for (const LeftOut& left : plan.left_out) {
    line += line.empty() ? "  left out: " : ", ";
    line += left.part;
    if (left.elements) line += " (" + Grouped(*left.elements) + " elements)";
  }
  return line.empty() ? "" : line + "\n";
}

std::string Header(const InferencePlan& plan) {
  std::string active;
  if (plan.parameters_active != plan.parameters) {
    active = " (" + Grouped(plan.parameters_active) + " for one token)";
  }
  std::string windows;
  if (plan.window_bytes_per_sequence > Bytes(0)) {
    windows = absl::StrFormat("; %s once the windows are full, which take %s of each sequence",
                              FormatSize(plan.kv_bytes_per_token_long),
                              FormatSize(plan.window_bytes_per_sequence));
  }
  std::string state;
  if (plan.state_bytes_per_sequence > Bytes(0)) {
    state = "; state of each sequence: " + FormatSize(plan.state_bytes_per_sequence);
  }
  return absl::StrFormat(
      "%s (%s)\n"
      "  %s parameters%s, %d layers, weights in %s, K and V in %s\n"
      "  K and V of one token: %s%s%s\n%s\n",
      plan.name, plan.architecture, Grouped(plan.parameters), active, plan.layers,
      plan.weights_format, std::string(NameOf(plan.kv_type)), FormatSize(plan.kv_bytes_per_token),
      windows, state, LeftOutLine(plan));
}

std::string TermTable(const InferencePlan& plan) {
  std::string out =
      absl::StrFormat("  %-15s %21s %12s %8s  %s\n", "term", "bytes", "size", "share", "formula");
  for (const PlanTerm& term : plan.formulas) {
    out += Row(term.term, term.bytes, plan.budget_bytes, term.formula);
  }
  if (plan.margin_bytes > Bytes(0)) {
    out += Row("margin", plan.margin_bytes, plan.budget_bytes, "as given");
  }
  out += Row("unused", plan.unused_bytes, plan.budget_bytes, "less than one block");
  out += Row("budget", plan.budget_bytes, plan.budget_bytes,
             absl::StrFormat("%s bytes of the device x %g", Grouped(plan.device_bytes.value()),
                             plan.utilization));
  return out;
}

std::string Capacity(const InferencePlan& plan) {
  std::string out = absl::StrFormat(
      "\n%s blocks of %d tokens (%s each): %s tokens; longest context %s\n\n"
      "  %14s %12s\n",
      Grouped(plan.blocks.value()), plan.block_tokens.value(), FormatSize(plan.block_bytes),
      Grouped(plan.tokens.value()), Grouped(plan.longest_context.value()), "context", "sequences");
  for (const ContextCapacity& row : plan.max_sequences) {
    out += absl::StrFormat("  %14s %12s\n", Grouped(row.context.value()), Grouped(row.sequences));
  }
  return out;
}

std::string Misfit(const InferencePlan& plan, const std::vector<FitSetting>& fits) {
  std::string out = absl::StrFormat(
      "\nDoes not fit: %s bytes (%s) short of the terms and one block of K and V.\n",
      Grouped(plan.shortfall_bytes.value()), FormatSize(plan.shortfall_bytes));
  if (!fits.empty()) out += "Nearest settings that fit:\n";
  for (const FitSetting& fit : fits) {
    out += absl::StrFormat("  %-44s %s block%s\n", fit.setting, Grouped(fit.blocks.value()),
                           fit.blocks == Blocks(1) ? "" : "s");
  }
  return out;
}

// Parts of the checkpoint that the plan leaves out; null where the configuration does not tell how
// many elements they have.
Json LeftOutJson(const InferencePlan& plan) {
  Json parts = Json::array();
  for (const LeftOut& left : plan.left_out) {
    parts.push_back(
        {{"part", left.part}, {"elements", left.elements ? Json(*left.elements) : Json(nullptr)}});
  }
  return parts;
}

Json ModelJson(const InferencePlan& plan) {
  return {{"name", plan.name},
          {"architecture", plan.architecture},
          {"parameters", plan.parameters},
          {"parameters_stored", plan.parameters_stored},
          {"parameters_active", plan.parameters_active},
          {"layers", plan.layers},
          {"kv_bytes_per_token", plan.kv_bytes_per_token.value()},
          {"kv_bytes_per_token_long", plan.kv_bytes_per_token_long.value()},
          {"window_bytes_per_sequence", plan.window_bytes_per_sequence.value()},
          {"state_bytes_per_sequence", plan.state_bytes_per_sequence.value()},
          {"weights_type", plan.weights_format},
          {"kv_type", NameOf(plan.kv_type)},
          {"left_out", LeftOutJson(plan)}};
}

Json MemoryJson(const InferencePlan& plan) {
  return {{"device_bytes", plan.device_bytes.value()},
          {"budget_bytes", plan.budget_bytes.value()},
          {"weights_bytes", plan.weights_bytes.value()},
          {"draft_bytes", plan.draft_bytes.value()},
          {"io_bytes", plan.io_bytes.value()},
          {"activation_bytes", plan.activation_bytes.value()},
          {"runtime_bytes", plan.runtime_bytes.value()},
          {"margin_bytes", plan.margin_bytes.value()},
          {"kv_pool_bytes", plan.kv_pool_bytes.value()},
          {"unused_bytes", plan.unused_bytes.value()}};
}

Json CapacityJson(const InferencePlan& plan) {
  Json sequences = Json::array();
  for (const ContextCapacity& row : plan.max_sequences) {
    sequences.push_back({{"context", row.context.value()}, {"sequences", row.sequences}});
  }
  return {{"block_tokens", plan.block_tokens.value()},
          {"block_bytes", plan.block_bytes.value()},
          {"blocks", plan.blocks.value()},
          {"tokens", plan.tokens.value()},
          {"longest_context", plan.longest_context.value()},
          {"max_sequences", std::move(sequences)}};
}

Json FormulasJson(const InferencePlan& plan) {
  Json formulas = Json::array();
  for (const PlanTerm& term : plan.formulas) {
    formulas.push_back(
        {{"term", term.term}, {"formula", term.formula}, {"bytes", term.bytes.value()}});
  }
  return formulas;
}

}  // namespace

std::string PlanAsText(const InferencePlan& plan, const std::vector<FitSetting>& fits) {
  return Header(plan) + TermTable(plan) + (plan.fits() ? Capacity(plan) : Misfit(plan, fits));
}

std::string PlanAsJson(const InferencePlan& plan, const std::vector<FitSetting>& fits) {
  Json json = {{"model", ModelJson(plan)},
               {"memory", MemoryJson(plan)},
               {"capacity", CapacityJson(plan)},
               {"formulas", FormulasJson(plan)}};
  if (!plan.fits()) {
    json["memory"]["shortfall_bytes"] = plan.shortfall_bytes.value();
    json["nearest_fits"] = Json::array();
    for (const FitSetting& fit : fits) {
      json["nearest_fits"].push_back({{"setting", fit.setting}, {"blocks", fit.blocks.value()}});
    }
  }
  // A model's name comes from a folder's, which may be any bytes.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace plimsoll
