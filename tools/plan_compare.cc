#include "tools/plan_compare.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "tools/compare_settings.h"
#include "tools/grouped_number.h"
#include "tools/plan_json.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

// `base` with what the argument changes.
absl::StatusOr<PlanArguments> Overlaid(const PlanArguments& base, const std::string& argument) {
  PlanArguments changed = base;
  if (NamesModel(argument)) {
    changed.model = argument;
    return changed;
  }
  CLI::App parser;
  AddPlanArguments(parser, changed);
  PLIMSOLL_RETURN_IF_ERROR(ParseSettings(argument, parser));
  return changed;
}

absl::StatusOr<ComparedPlan> PlanOf(const std::string& setting, const PlanArguments& arguments) {
  const absl::StatusOr<PlanRequest> request = PlanRequestFrom(arguments);
  if (!request.ok()) return request.status();
  PLIMSOLL_RETURN_IF_ERROR(CheckNamesDevice(arguments));
  absl::StatusOr<InferencePlan> plan = PlanInference(request->model, request->options);
  if (!plan.ok()) return plan.status();
  return ComparedPlan{setting, *std::move(plan), CountsOf(request->model)};
}

// One row: the figure of each plan as `text` writes it, and its difference from the first.
using Figure = int64_t (*)(const InferencePlan&);
TextRow RowOf(const std::string& name, const std::vector<ComparedPlan>& compared, Figure figure,
              std::string (*text)(int64_t)) {
  TextRow row = {name};
  const int64_t first = figure(compared.front().plan);
  for (size_t i = 0; i < compared.size(); ++i) {
    const int64_t value = figure(compared[i].plan);
    row.push_back(text(value));
    if (i > 0) row.push_back(DifferenceInPercent(first, value));
  }
  return row;
}

std::string SizeText(int64_t bytes) { return FormatSize(Bytes(bytes)); }

struct NamedFigure {
  const char* name;
  Figure figure;
  std::string (*text)(int64_t);
};
constexpr NamedFigure kFigures[] = {
    {"weights", [](const InferencePlan& plan) { return plan.weights_bytes.value(); }, SizeText},
    {"draft", [](const InferencePlan& plan) { return plan.draft_bytes.value(); }, SizeText},
    {"io", [](const InferencePlan& plan) { return plan.io_bytes.value(); }, SizeText},
    {"activations", [](const InferencePlan& plan) { return plan.activation_bytes.value(); },
     SizeText},
    {"runtime", [](const InferencePlan& plan) { return plan.runtime_bytes.value(); }, SizeText},
    {"margin", [](const InferencePlan& plan) { return plan.margin_bytes.value(); }, SizeText},
    {"kv pool", [](const InferencePlan& plan) { return plan.kv_pool_bytes.value(); }, SizeText},
    {"unused", [](const InferencePlan& plan) { return plan.unused_bytes.value(); }, SizeText},
    {"budget", [](const InferencePlan& plan) { return plan.budget_bytes.value(); }, SizeText},
    {"shortfall", [](const InferencePlan& plan) { return plan.shortfall_bytes.value(); }, SizeText},
    {"kv of a token", [](const InferencePlan& plan) { return plan.kv_bytes_per_token.value(); },
     SizeText},
    {"blocks", [](const InferencePlan& plan) { return plan.blocks.value(); }, Grouped},
    {"tokens", [](const InferencePlan& plan) { return plan.tokens.value(); }, Grouped},
    {"longest context", [](const InferencePlan& plan) { return plan.longest_context.value(); },
     Grouped},
};

bool AllZero(const std::vector<ComparedPlan>& compared, Figure figure) {
  return std::all_of(compared.begin(), compared.end(),
                     [&](const ComparedPlan& one) { return figure(one.plan) == 0; });
}

const ContextCapacity* RowAt(const InferencePlan& plan, Tokens context) {
  for (const ContextCapacity& row : plan.max_sequences) {
    if (row.context == context) return &row;
  }
  return nullptr;
}

// Sequences at each context of the first plan; "-" where another has no such row.
void AddSequences(const std::vector<ComparedPlan>& compared, std::vector<TextRow>& rows) {
  for (const ContextCapacity& first : compared.front().plan.max_sequences) {
    TextRow row = {"at " + Grouped(first.context.value())};
    for (size_t i = 0; i < compared.size(); ++i) {
      const ContextCapacity* const same = RowAt(compared[i].plan, first.context);
      row.push_back(same == nullptr ? "-" : Grouped(same->sequences));
      if (i == 0) continue;
      row.push_back(same == nullptr ? "" : DifferenceInPercent(first.sequences, same->sequences));
    }
    rows.push_back(std::move(row));
  }
}

TextRow HeadRow(const std::vector<ComparedPlan>& compared) {
  TextRow row = {""};
  for (size_t i = 0; i < compared.size(); ++i) {
    row.push_back(std::string(1, static_cast<char>('A' + i)));
    if (i > 0) row.emplace_back("to A");
  }
  return row;
}

// What the letters at the heads of the columns stand for.
std::string Legend(const std::vector<ComparedPlan>& compared) {
  std::string out;
  for (size_t i = 0; i < compared.size(); ++i) {
    const InferencePlan& plan = compared[i].plan;
    out += absl::StrFormat("%c  %s: %s, weights in %s, K and V in %s, device %s%s\n",
                           static_cast<char>('A' + i), compared[i].setting, plan.name,
                           plan.weights_format, std::string(NameOf(plan.kv_type)),
                           FormatSize(plan.device_bytes), plan.fits() ? "" : "; does not fit");
  }
  return out;
}

}  // namespace

absl::StatusOr<std::vector<ComparedPlan>> ComparePlans(const PlanArguments& base,
                                                       const std::vector<std::string>& settings) {
  std::vector<ComparedPlan> compared;
  if (settings.size() > kMostCompared) {
    return BadField("compare", std::ssize(settings), "at most " + std::to_string(kMostCompared));
  }
  if (settings.size() == 1) {
    absl::StatusOr<ComparedPlan> given = PlanOf("as given", base);
    if (!given.ok()) return given.status();
    compared.push_back(*std::move(given));
  }
  for (const std::string& setting : settings) {
    const absl::StatusOr<PlanArguments> arguments = Overlaid(base, setting);
    if (!arguments.ok()) return Annotate(arguments.status(), "compare=" + Excerpt(setting));
    absl::StatusOr<ComparedPlan> plan = PlanOf(setting, *arguments);
    if (!plan.ok()) return Annotate(plan.status(), "compare=" + Excerpt(setting));
    compared.push_back(*std::move(plan));
  }
  return compared;
}

std::string ComparisonAsText(const std::vector<ComparedPlan>& compared) {
  std::vector<TextRow> rows = {HeadRow(compared)};
  for (const NamedFigure& figure : kFigures) {
    if (AllZero(compared, figure.figure)) continue;
    rows.push_back(RowOf(figure.name, compared, figure.figure, figure.text));
  }
  AddSequences(compared, rows);
  return Legend(compared) + "\n" + TextTable(rows);
}

nlohmann::ordered_json ComparisonAsJson(const std::vector<ComparedPlan>& compared) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const ComparedPlan& one : compared) {
    nlohmann::ordered_json plan = {{"setting", one.setting}};
    plan.update(PlanAsJsonValue({.plan = one.plan, .counts = one.counts}));
    json.push_back(std::move(plan));
  }
  return json;
}

}  // namespace plimsoll
