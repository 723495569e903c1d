#include "tools/training_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;  // keys in the order written here

bool IsOfGpu(TrainingGroup group) { return group < TrainingGroup::kHost; }

// By how much the textbook count misses, in hundredths of a percent; positive is too many.
double TextbookError(const TrainingPlan& plan) {
  const auto counted = static_cast<double>(std::max<int64_t>(plan.parameters, 1));
  return 100.0 * (static_cast<double>(plan.textbook_parameters.value_or(0)) / counted - 1.0);
}

// " (31.2% more compute)"
std::string OverheadText(const TrainingPlan& plan) {
  if (plan.recompute_overhead <= 0) return "";
  return absl::StrFormat(" (%.1f%% more compute)", 100.0 * plan.recompute_overhead);
}

// How a replica is split, and of which part the plan is; empty where it is not split.
std::string SplitLine(const TrainingPlan& plan) {
  const TrainingOptions& options = plan.options;
  if (options.ranks() == 1 && options.expert_parallel == 1) return "";
  std::string line = "  tensor parallel " + std::to_string(options.tensor_parallel);
  if (options.sequence_parallel) line += " with sequence parallel";
  if (options.pipeline_parallel > 1) {
    line += absl::StrFormat(", pipeline of %d stages of %d chunk%s, here stage %d, the fullest",
                            options.pipeline_parallel, options.interleave,
                            options.interleave == 1 ? "" : "s", plan.stage + 1);
  }
  if (options.expert_parallel > 1) {
    line += absl::StrFormat(", experts over %d replicas", options.expert_parallel);
  }
  return line + "\n";
}

std::string Header(const TrainingPlan& plan) {
  const TrainingOptions& options = plan.options;
  std::string out = absl::StrFormat("%s (%s)\n  %s parameters, %s of them trained, %d layers\n",
                                    plan.name, plan.architecture, Grouped(plan.parameters),
                                    options.trains_adapters() ? "none" : "all", plan.layers);
  if (options.trains_adapters()) {
    out += absl::StrFormat("  %s adapter parameters of rank %d\n", Grouped(plan.trained_parameters),
                           options.lora_rank);
  }
  if (plan.textbook_parameters) {
    out += absl::StrFormat("  the textbook, hV + L(12h^2 + 13h) + 2h, says %s (%+.2f%%)\n",
                           Grouped(*plan.textbook_parameters), TextbookError(plan));
  }
  out += absl::StrFormat(
      "  %s, batch %s of %s tokens, ZeRO-%d over %d replica%s of %d GPU%s, recompute %s%s, "
      "offload %s\n%s\n",
      std::string(NameOf(options.method)), Grouped(options.batch),
      Grouped(options.sequence.value()), options.zero_stage, options.replicas(),
      options.replicas() == 1 ? "" : "s", options.ranks(), options.ranks() == 1 ? "" : "s",
      std::string(NameOf(options.recompute)), OverheadText(plan),
      std::string(NameOf(options.offload)), SplitLine(plan));
  return out;
}

std::string Row(std::string_view term, Bytes bytes, const std::string& share,
                const std::string& formula) {
  return absl::StrFormat("  %-26s %23s %12s %8s%s\n", std::string(term), Grouped(bytes.value()),
                         FormatSize(bytes), share, formula.empty() ? "" : "  " + formula);
}

std::string ShareOf(Bytes bytes, Bytes total) {
  return absl::StrFormat("%.2f%%", 100.0 * static_cast<double>(bytes.value()) /
                                       static_cast<double>(std::max<int64_t>(total.value(), 1)));
}

std::string TermTable(const TrainingPlan& plan) {
  std::string out =
      absl::StrFormat("  %-26s %23s %12s %8s  %s\n", "term", "bytes", "size", "share", "formula");
  for (const TrainingTerm& term : plan.formulas) {
    const bool of_gpu = IsOfGpu(term.group);
    out += Row(term.term, term.bytes, of_gpu ? ShareOf(term.bytes, plan.total_bytes) : "",
               term.formula);
  }
  return out;
}

std::string Sums(const TrainingPlan& plan) {
  const auto row = [&](std::string_view name, Bytes bytes) {
    return Row(name, bytes, ShareOf(bytes, plan.total_bytes), "");
  };
  return "\n  one GPU\n" + row("weights", plan.weights_bytes) +
         row("gradients", plan.gradients_bytes) + row("optimizer", plan.optimizer_bytes) +
         row("activations", plan.activations_bytes) + row("buffers", plan.buffers_bytes) +
         row("total", plan.total_bytes) +
         (plan.pageable_bytes() > Bytes(0) ? row("of it pageable", plan.pageable_bytes()) : "");
}

std::string Offloaded(std::string_view place, const std::optional<OffloadedBytes>& bytes) {
  if (!bytes) return "";
  return absl::StrFormat(
      "\n  %s, for one GPU: %s (%s bytes); in a step %s go towards the GPU and %s away from it\n",
      std::string(place), FormatSize(bytes->total()), Grouped(bytes->total().value()),
      FormatSize(bytes->read_per_step), FormatSize(bytes->written_per_step));
}

std::string Gpus(const TrainingPlan& plan, const std::vector<TrainingFit>& fits) {
  if (!plan.options.device_bytes) return "";
  const std::string needed = plan.gpus_needed ? Grouped(*plan.gpus_needed) : "no number is enough";
  std::string out =
      absl::StrFormat("\nGPUs of %s needed (%s of it for the CUDA runtime): %s (%s)\n",
                      FormatSize(*plan.options.device_bytes), FormatSize(plan.options.runtime),
                      needed, plan.gpus_needed_rule);
  if (plan.fits()) return out + "It fits as planned.\n";
  out +=
      absl::StrFormat("Does not fit as planned: %s bytes (%s) short.\n",
                      Grouped(plan.shortfall_bytes().value()), FormatSize(plan.shortfall_bytes()));
  if (!fits.empty()) out += "Settings that fit:\n";
  for (const TrainingFit& fit : fits) {
    out += absl::StrFormat("  %-44s %s\n", fit.setting, FormatSize(fit.total_bytes));
  }
  return out;
}

Json ModelJson(const TrainingPlan& plan) {
  Json json = {{"name", plan.name},
               {"architecture", plan.architecture},
               {"parameters", plan.parameters},
               {"trained_parameters", plan.trained_parameters},
               {"layers", plan.layers}};
  if (plan.textbook_parameters) json["textbook_parameters"] = *plan.textbook_parameters;
  return json;
}

Json TrainingJson(const TrainingPlan& plan) {
  const TrainingOptions& options = plan.options;
  Json json = {{"method", NameOf(options.method)},
               {"batch", options.batch},
               {"sequence", options.sequence.value()},
               {"zero", options.zero_stage},
               {"gpus", options.gpus},
               {"tensor_parallel", options.tensor_parallel},
               {"pipeline_parallel", options.pipeline_parallel},
               {"interleave", options.interleave},
               {"stage", plan.stage},
               {"expert_parallel", options.expert_parallel},
               {"sequence_parallel", options.sequence_parallel},
               {"recompute", NameOf(options.recompute)},
               {"recompute_overhead", plan.recompute_overhead},
               {"activation_formula", NameOf(plan.activation_formula)},
               {"offload", NameOf(options.offload)}};
  if (options.trains_adapters()) {
    json["lora_rank"] = options.lora_rank;
    json["lora_targets"] = options.lora_targets;
  }
  return json;
}

Json OffloadedJson(const OffloadedBytes& bytes) {
  return {{"weights_bytes", bytes.weights.value()},
          {"gradients_bytes", bytes.gradients.value()},
          {"optimizer_bytes", bytes.optimizer.value()},
          {"buffers_bytes", bytes.buffers.value()},
          {"total_bytes", bytes.total().value()},
          {"read_bytes_per_step", bytes.read_per_step.value()},
          {"written_bytes_per_step", bytes.written_per_step.value()}};
}

Json MemoryJson(const TrainingPlan& plan) {
  Json json = {{"weights_bytes", plan.weights_bytes.value()},
               {"gradients_bytes", plan.gradients_bytes.value()},
               {"optimizer_bytes", plan.optimizer_bytes.value()},
               {"activations_bytes", plan.activations_bytes.value()},
               {"buffers_bytes", plan.buffers_bytes.value()},
               {"total_bytes", plan.total_bytes.value()}};
  if (plan.pageable_bytes() > Bytes(0)) json["pageable_bytes"] = plan.pageable_bytes().value();
  if (plan.host) json["host"] = OffloadedJson(*plan.host);
  if (plan.nvme) json["nvme"] = OffloadedJson(*plan.nvme);
  if (!plan.options.device_bytes) return json;
  json["device_bytes"] = plan.options.device_bytes->value();
  json["runtime_bytes"] = plan.options.runtime.value();
  json["shortfall_bytes"] = plan.shortfall_bytes().value();
  return json;
}

Json FormulasJson(const TrainingPlan& plan) {
  Json formulas = Json::array();
  for (const TrainingTerm& term : plan.formulas) {
    formulas.push_back({{"term", term.term},
                        {"formula", term.formula},
                        {"bytes", term.bytes.value()},
                        {"group", NameOf(term.group)}});
  }
  return formulas;
}

Json CurveJson(const std::vector<ActivationPoint>& points, const char* at) {
  Json json = Json::array();
  for (const ActivationPoint& point : points) {
    json.push_back({{at, point.at},
                    {"none_bytes", point.none.value()},
                    {"selective_bytes", point.selective.value()},
                    {"full_bytes", point.full.value()}});
  }
  return json;
}

Json CurvesJson(const TrainingCurves& curves) {
  Json stages = Json::array();
  for (const ZeroPoint& point : curves.over_zero) {
    stages.push_back({{"zero", point.stage},
                      {"weights_bytes", point.weights.value()},
                      {"gradients_bytes", point.gradients.value()},
                      {"optimizer_bytes", point.optimizer.value()},
                      {"buffers_bytes", point.buffers.value()}});
  }
  return {{"activations_over_sequence", CurveJson(curves.over_sequence, "sequence")},
          {"activations_over_batch", CurveJson(curves.over_batch, "batch")},
          {"zero_replicas", curves.zero_replicas},
          {"states_over_zero", std::move(stages)}};
}

std::string CurveTable(const char* at, const std::vector<ActivationPoint>& points) {
  std::vector<TextRow> rows = {{at, "none", "selective", "full"}};
  for (const ActivationPoint& point : points) {
    rows.push_back({Grouped(point.at), FormatSize(point.none), FormatSize(point.selective),
                    FormatSize(point.full)});
  }
  return TextTable(rows);
}

std::string Curves(const TrainingCurves& curves) {
  std::vector<TextRow> rows = {{"stage", "weights", "gradients", "optimizer", "buffers", "all"}};
  for (const ZeroPoint& point : curves.over_zero) {
    rows.push_back({std::to_string(point.stage), FormatSize(point.weights),
                    FormatSize(point.gradients), FormatSize(point.optimizer),
                    FormatSize(point.buffers), FormatSize(point.total())});
  }
  return "\nactivations by what is recomputed\n" + CurveTable("sequence", curves.over_sequence) +
         "\n" + CurveTable("batch", curves.over_batch) + "\nstates by ZeRO stage, over " +
         Grouped(curves.zero_replicas) + " replicas\n" + TextTable(rows);
}

}  // namespace

std::string TrainingAsText(const TrainingReport& report) {
  const TrainingPlan& plan = report.plan;
  return Header(plan) + TermTable(plan) + Sums(plan) + Offloaded("host memory", plan.host) +
         Offloaded("nvme", plan.nvme) + Gpus(plan, report.fits) +
         (report.curves ? Curves(*report.curves) : "");
}

Json TrainingJsonOf(const TrainingReport& report) {
  const TrainingPlan& plan = report.plan;
  Json json = {{"model", ModelJson(plan)},
               {"training", TrainingJson(plan)},
               {"memory", MemoryJson(plan)},
               {"formulas", FormulasJson(plan)}};
  if (plan.options.device_bytes) {
    json["gpus_needed"] = plan.gpus_needed ? Json(*plan.gpus_needed) : Json(nullptr);
    json["memory"]["gpus_needed"] = json["gpus_needed"];
    json["gpus_needed_rule"] = plan.gpus_needed_rule;
  }
  if (!plan.fits()) {
    json["nearest_fits"] = Json::array();
    for (const TrainingFit& fit : report.fits) {
      json["nearest_fits"].push_back(
          {{"setting", fit.setting}, {"total_bytes", fit.total_bytes.value()}});
    }
  }
  if (report.curves) json["curves"] = CurvesJson(*report.curves);
  return json;
}

std::string TrainingAsJson(const TrainingReport& report) {
  // A model's name comes from a folder's, which may be any bytes.
  return TrainingJsonOf(report).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace plimsoll
