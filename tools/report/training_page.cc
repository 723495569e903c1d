#include "tools/report/training_page.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"
#include "tools/report/html_text.h"
#include "tools/report/page.h"

namespace plimsoll {
namespace {

std::string Gpus(int64_t n) { return Grouped(n) + (n == 1 ? " GPU" : " GPUs"); }

std::string Answer(const TrainingPlan& plan) {
  const std::string each = plan.options.gpus == 1 ? "" : " on each of " + Gpus(plan.options.gpus);
  if (!plan.options.device_bytes) {
    return absl::StrFormat("Training takes %s%s.", FormatSize(plan.total_bytes), each);
  }
  const std::string card = FormatSize(*plan.options.device_bytes);
  const std::string needed = plan.gpus_needed
                                 ? "it takes at least " + Gpus(*plan.gpus_needed) + " of " + card
                                 : "no number of GPUs of " + card + " is enough";
  if (plan.fits()) {
    return absl::StrFormat("Fits: training takes %s of %s%s.", FormatSize(plan.total_bytes), card,
                           each);
  }
  return absl::StrFormat("Does not fit: %s short of %s%s; %s.", FormatSize(plan.shortfall_bytes()),
                         card, each, needed);
}

std::string Details(const TrainingPlan& plan) {
  const TrainingOptions& options = plan.options;
  std::string adapters;
  if (options.trains_adapters()) {
    adapters = absl::StrFormat(" (%s adapter parameters of rank %d)",
                               Grouped(plan.trained_parameters), options.lora_rank);
  }
  return absl::StrFormat(
      "%s, %s parameters, %d layers; %s%s, batch %s of %s tokens, ZeRO-%d, recompute %s, offload "
      "%s.",
      plan.architecture, Grouped(plan.parameters), plan.layers, std::string(NameOf(options.method)),
      adapters, Grouped(options.batch), Grouped(options.sequence.value()), options.zero_stage,
      std::string(NameOf(options.recompute)), std::string(NameOf(options.offload)));
}

std::vector<BarPart> WithoutEmpty(std::vector<BarPart> parts) {
  std::erase_if(parts, [](const BarPart& part) {
    return std::all_of(part.bytes.begin(), part.bytes.end(),
                       [](Bytes bytes) { return bytes == Bytes(0); });
  });
  return parts;
}

DrawnChart MemoryChart(const TrainingPlan& plan) {
  const std::vector<BarPart> parts =
      WithoutEmpty({{"weights", PartColour::kWeights, {plan.weights_bytes}},
                    {"gradients", PartColour::kGradients, {plan.gradients_bytes}},
                    {"optimizer", PartColour::kOptimizer, {plan.optimizer_bytes}},
                    {"activations", PartColour::kActivations, {plan.activations_bytes}},
                    {"buffers", PartColour::kBuffers, {plan.buffers_bytes}},
                    {"runtime", PartColour::kRuntime, {plan.options.runtime}}});
  std::string alternative = "Bar of the memory of one GPU:";
  for (const BarPart& part : parts) {
    alternative += absl::StrFormat(" %s %s,", part.name, FormatSize(part.bytes.front()));
  }
  alternative.back() = '.';
  BarChart chart{.id = "memory",
                 .title = "Memory of one GPU",
                 .alternative = alternative,
                 .bars = {""},
                 .parts = parts};
  if (plan.options.device_bytes) {
    chart.limit = plan.options.device_bytes;
    chart.limit_name = "device " + FormatSize(*chart.limit);
  }
  return DrawChart(chart);
}

// The terms of one place, in the order of the plan. What is offloaded has no share of the GPU's.
std::string RowsOf(const TrainingPlan& plan, bool of_gpu) {
  std::string rows;
  for (const TrainingTerm& term : plan.formulas) {
    const bool on_gpu = term.group < TrainingGroup::kHost;
    if (on_gpu != of_gpu) continue;
    const std::string name =
        on_gpu ? term.term : std::string(NameOf(term.group)) + ": " + term.term;
    rows += TermRow(name, term.formula, term.bytes, plan.total_bytes);
  }
  return rows;
}

std::string Sums(const TrainingPlan& plan) {
  const auto row = [&](std::string_view name, Bytes bytes) {
    return TermRow(name, "", bytes, plan.total_bytes);
  };
  return row("weights", plan.weights_bytes) + row("gradients", plan.gradients_bytes) +
         row("optimizer", plan.optimizer_bytes) + row("activations", plan.activations_bytes) +
         row("buffers", plan.buffers_bytes);
}

std::string OffloadedLine(std::string_view place, const std::optional<OffloadedBytes>& bytes) {
  if (!bytes) return "";
  return absl::StrFormat(
      "<p class=\"note\">%s holds %s for this GPU; in a step %s go towards the GPU and %s away "
      "from it.</p>\n",
      std::string(place), FormatSize(bytes->total()), FormatSize(bytes->read_per_step),
      FormatSize(bytes->written_per_step));
}

std::string Total(const TrainingPlan& plan) {
  return TermRow("total", "", plan.total_bytes, plan.total_bytes);
}

std::string Memory(const TrainingPlan& plan, const std::string& figure) {
  return figure + TermTable("Sums of one GPU", Sums(plan), Total(plan)) +
         OffloadedLine("Host memory", plan.host) + OffloadedLine("NVMe", plan.nvme);
}

std::string Terms(const TrainingPlan& plan) {
  const std::string elsewhere = RowsOf(plan, /*of_gpu=*/false);
  return TermTable("Of one GPU, and how it is counted", RowsOf(plan, true), Total(plan)) +
         (elsewhere.empty() ? "" : TermTable("What is offloaded", elsewhere, ""));
}

std::string Misfit(const TrainingPlan& plan, const std::vector<TrainingFit>& fits) {
  if (plan.fits()) return "";
  std::string items;
  for (const TrainingFit& fit : fits) {
    items += "<li><code>" + Escaped(fit.setting) + "</code>: " + FormatSize(fit.total_bytes) +
             " on each GPU</li>\n";
  }
  if (items.empty()) items = "<li>no single change to the settings</li>\n";
  return "<section class=\"misfit\">\n<h2>What would fit</h2>\n<ul>\n" + items +
         "</ul>\n</section>\n";
}

// A table of sizes: the first column names the rows.
struct SizeTable {
  std::string id, caption;
  std::vector<std::string> columns;
  struct Row {
    std::string name;
    std::vector<Bytes> sizes;
  };
  std::vector<Row> rows;
};

std::string AsHtml(const SizeTable& table) {
  std::string head, rows;
  for (const std::string& column : table.columns) {
    head += "<th scope=\"col\">" + Escaped(column) + "</th>";
  }
  for (const SizeTable::Row& row : table.rows) {
    rows += "<tr><th scope=\"row\">" + Escaped(row.name) + "</th>";
    for (const Bytes size : row.sizes) {
      rows += absl::StrFormat("<td data-bytes=\"%d\">%s</td>", size.value(), FormatSize(size));
    }
    rows += "</tr>\n";
  }
  const std::string caption = Escaped(table.caption);
  return "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"" + caption +
         "\"><table id=\"" + table.id + "\"><caption>" + caption + "</caption>\n<thead><tr>" +
         head + "</tr></thead>\n<tbody>\n" + rows + "</tbody></table></div>\n";
}

DrawnChart ZeroChart(const TrainingPlan& plan, const TrainingCurves& curves) {
  BarPart weights{"weights", PartColour::kWeights, {}};
  BarPart gradients{"gradients", PartColour::kGradients, {}};
  BarPart optimizer{"optimizer", PartColour::kOptimizer, {}};
  BarPart buffers{"buffers", PartColour::kBuffers, {}};
  BarChart chart{.id = "zero",
                 .title = "States and buffers of one GPU by ZeRO stage, over " +
                          Grouped(curves.zero_replicas) + " replicas",
                 .alternative = "One bar for each ZeRO stage; the table below holds their figures.",
                 .bars = {},
                 .parts = {}};
  for (const ZeroPoint& point : curves.over_zero) {
    chart.bars.push_back(absl::StrFormat("ZeRO-%d", point.stage));
    weights.bytes.push_back(point.weights);
    gradients.bytes.push_back(point.gradients);
    optimizer.bytes.push_back(point.optimizer);
    buffers.bytes.push_back(point.buffers);
  }
  chart.parts = WithoutEmpty({weights, gradients, optimizer, buffers});
  if (plan.options.device_bytes) {
    chart.limit = plan.options.device_bytes;
    chart.limit_name = "device " + FormatSize(*chart.limit);
  }
  return DrawChart(chart);
}

std::string ZeroTable(const TrainingCurves& curves) {
  SizeTable table{.id = "zero-table",
                  .caption = "Of one GPU at each ZeRO stage",
                  .columns = {"Stage", "Weights", "Gradients", "Optimizer", "Buffers", "Total"},
                  .rows = {}};
  for (const ZeroPoint& point : curves.over_zero) {
    table.rows.push_back(
        {absl::StrFormat("ZeRO-%d", point.stage),
         {point.weights, point.gradients, point.optimizer, point.buffers, point.total()}});
  }
  return AsHtml(table);
}

// What a curve of activations runs over.
struct ActivationAxis {
  std::string id, title, x_title, column;
};

DrawnChart ActivationChart(const ActivationAxis& axis, const std::vector<ActivationPoint>& points) {
  LineChart chart{.id = axis.id,
                  .title = axis.title,
                  .alternative =
                      "Rising curves, one for each way to recompute; the table below "
                      "holds their figures.",
                  .x_title = axis.x_title,
                  .y_title = "activations",
                  .y_is_bytes = true,
                  .lines = {{"no recompute", {}}, {"selective", {}}, {"full", {}}}};
  for (const ActivationPoint& point : points) {
    chart.lines[0].points.push_back({point.at, point.none.value()});
    chart.lines[1].points.push_back({point.at, point.selective.value()});
    chart.lines[2].points.push_back({point.at, point.full.value()});
  }
  return DrawChart(chart);
}

std::string ActivationTable(const ActivationAxis& axis,
                            const std::vector<ActivationPoint>& points) {
  SizeTable table{.id = axis.id + "-table",
                  .caption = axis.title,
                  .columns = {axis.column, "No recompute", "Selective", "Full"},
                  .rows = {}};
  for (const ActivationPoint& point : points) {
    table.rows.push_back({Grouped(point.at), {point.none, point.selective, point.full}});
  }
  return AsHtml(table);
}

void AddActivations(const ActivationAxis& axis, const std::vector<ActivationPoint>& points,
                    Page& page) {
  if (points.empty()) return;
  std::string body;
  if (points.size() > 1) {
    page.charts.push_back(ActivationChart(axis, points));
    body = page.charts.back().html;
  }
  page.body += Section(axis.title, body + ActivationTable(axis, points));
}

}  // namespace

std::string TrainingAsHtml(const TrainingPlan& plan, const std::vector<TrainingFit>& fits,
                           const TrainingCurves& curves) {
  Page page{.kind = "Training plan",
            .subject = plan.name,
            .answer = Answer(plan),
            .details = Details(plan),
            .bad_news = !plan.fits(),
            .body = Misfit(plan, fits),
            .charts = {MemoryChart(plan)}};
  page.body += Section("Memory", Memory(plan, page.charts.back().html));
  if (!curves.over_zero.empty()) {
    page.charts.push_back(ZeroChart(plan, curves));
    page.body += Section("ZeRO stages", page.charts.back().html + ZeroTable(curves));
  }
  AddActivations({.id = "over-sequence",
                  .title = "Activations over the length of a sequence",
                  .x_title = "tokens of a sequence (K = 1,024)",
                  .column = "Tokens"},
                 curves.over_sequence, page);
  AddActivations({.id = "over-batch",
                  .title = "Activations over the batch",
                  .x_title = "sequences of a batch",
                  .column = "Batch"},
                 curves.over_batch, page);
  page.body += Section("Every term", Terms(plan));
  return PageAsHtml(page);
}

}  // namespace plimsoll
