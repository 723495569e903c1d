#include "tools/training_compare.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "tools/compare_settings.h"
#include "tools/grouped_number.h"
#include "tools/text_table.h"
#include "tools/training_report.h"

namespace plimsoll {
namespace {

// `base` with what the argument changes; a model given one way takes the place of one given the
// other way.
absl::StatusOr<TrainingArguments> Overlaid(const TrainingArguments& base,
                                           const std::string& argument) {
  TrainingArguments changed = base;
  if (NamesModel(argument)) {
    changed.model = argument;
    changed.parameters.clear();
    return changed;
  }
  CLI::App parser;
  AddTrainingArguments(parser, changed, /*required=*/false);
  PLIMSOLL_RETURN_IF_ERROR(ParseSettings(argument, parser));
  if (changed.model != base.model) changed.parameters.clear();
  if (changed.parameters != base.parameters && !changed.parameters.empty()) changed.model.clear();
  return changed;
}

absl::Status AddPlan(const TrainingArguments& arguments, std::string setting,
                     std::vector<ComparedTraining>& compared) {
  const absl::StatusOr<TrainingRequest> request = TrainingRequestFrom(arguments);
  if (!request.ok()) return Annotate(request.status(), "compare=" + Excerpt(setting));
  absl::StatusOr<TrainingPlan> plan = request->Plan();
  if (!plan.ok()) return Annotate(plan.status(), "compare=" + Excerpt(setting));
  compared.push_back({std::move(setting), *std::move(plan)});
  return absl::OkStatus();
}

std::string LetterOf(size_t index) { return std::string(1, static_cast<char>('A' + index)); }

using Figure = Bytes (*)(const TrainingPlan&);
struct NamedFigure {
  const char* name;
  Figure figure;
};
constexpr Figure kTotal = [](const TrainingPlan& plan) { return plan.total_bytes; };
constexpr NamedFigure kFigures[] = {
    {"weights", [](const TrainingPlan& plan) { return plan.weights_bytes; }},
    {"gradients", [](const TrainingPlan& plan) { return plan.gradients_bytes; }},
    {"optimizer", [](const TrainingPlan& plan) { return plan.optimizer_bytes; }},
    {"activations", [](const TrainingPlan& plan) { return plan.activations_bytes; }},
    {"buffers", [](const TrainingPlan& plan) { return plan.buffers_bytes; }},
    {"total of one GPU", kTotal},
    {"host memory",
     [](const TrainingPlan& plan) { return plan.host ? plan.host->total() : Bytes(0); }},
    {"nvme", [](const TrainingPlan& plan) { return plan.nvme ? plan.nvme->total() : Bytes(0); }}};

TextRow RowOf(const NamedFigure& named, const std::vector<ComparedTraining>& compared) {
  TextRow row = {named.name};
  const Bytes first = named.figure(compared.front().plan);
  for (size_t i = 0; i < compared.size(); ++i) {
    const Bytes bytes = named.figure(compared[i].plan);
    row.push_back(FormatSize(bytes));
    if (i > 0) row.push_back(DifferenceInPercent(first.value(), bytes.value()));
  }
  return row;
}

std::string GpusText(const TrainingPlan& plan) {
  if (!plan.options.device_bytes) return "";
  return plan.gpus_needed ? Grouped(*plan.gpus_needed) : "no number";
}

TextRow GpusRow(const std::vector<ComparedTraining>& compared) {
  TextRow row = {"GPUs needed"};
  for (size_t i = 0; i < compared.size(); ++i) {
    row.push_back(GpusText(compared[i].plan));
    if (i > 0) row.emplace_back();
  }
  return row;
}

bool AnyHas(const std::vector<ComparedTraining>& compared, const NamedFigure& named) {
  return std::any_of(compared.begin(), compared.end(), [&](const ComparedTraining& each) {
    return named.figure(each.plan) > Bytes(0);
  });
}

}  // namespace

absl::StatusOr<std::vector<ComparedTraining>> CompareTrainings(
    const TrainingArguments& base, const std::vector<std::string>& settings) {
  if (settings.size() > kMostComparedTrainings) {
    return BadField("compare", static_cast<int64_t>(settings.size()), "at most 26 settings");
  }
  std::vector<ComparedTraining> compared;
  if (settings.size() == 1) PLIMSOLL_RETURN_IF_ERROR(AddPlan(base, "as given", compared));
  for (const std::string& setting : settings) {
    const absl::StatusOr<TrainingArguments> changed = Overlaid(base, setting);
    if (!changed.ok()) return Annotate(changed.status(), "compare=" + Excerpt(setting));
    PLIMSOLL_RETURN_IF_ERROR(AddPlan(*changed, setting, compared));
  }
  return compared;
}

std::string TrainingComparisonAsText(const std::vector<ComparedTraining>& compared) {
  std::string out;
  TextRow head = {"one GPU"};
  for (size_t i = 0; i < compared.size(); ++i) {
    out += "  " + LetterOf(i) + "  " + compared[i].plan.name + ", " + compared[i].setting + "\n";
    head.push_back(LetterOf(i));
    if (i > 0) head.push_back("to A");
  }
  std::vector<TextRow> rows = {std::move(head)};
  for (const NamedFigure& named : kFigures) {
    if (AnyHas(compared, named)) rows.push_back(RowOf(named, compared));
  }
  if (compared.front().plan.options.device_bytes) rows.push_back(GpusRow(compared));
  return out + "\n" + TextTable(rows);
}

std::string TrainingComparisonAsJson(const std::vector<ComparedTraining>& compared) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ComparedTraining& each : compared) {
    nlohmann::ordered_json one = {{"setting", each.setting}};
    one.update(TrainingJsonOf({.plan = each.plan}));
    list.push_back(std::move(one));
  }
  const nlohmann::ordered_json json = {{"compare", std::move(list)}};
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace plimsoll
