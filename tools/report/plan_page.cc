#include "tools/report/plan_page.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"
#include "tools/report/html_text.h"
#include "tools/report/page.h"

namespace plimsoll {
namespace {

std::string Sequences(int64_t n) { return Grouped(n) + (n == 1 ? " sequence" : " sequences"); }

// The rows that have room for a sequence, by rising context.
std::vector<ContextCapacity> Held(const InferencePlan& plan) {
  std::vector<ContextCapacity> held;
  for (const ContextCapacity& row : plan.max_sequences) {
    if (row.sequences > 0) held.push_back(row);
  }
  std::sort(held.begin(), held.end(), [](const ContextCapacity& a, const ContextCapacity& b) {
    return a.context < b.context;
  });
  return held;
}

std::string Answer(const InferencePlan& plan) {
  if (!plan.fits()) {
    return absl::StrFormat("Does not fit: %s short of a budget of %s.",
                           FormatSize(plan.shortfall_bytes), FormatSize(plan.budget_bytes));
  }
  const std::vector<ContextCapacity> held = Held(plan);
  if (held.empty()) {
    return absl::StrFormat("Fits %s tokens of K and V, but no sequence of the contexts asked for.",
                           Grouped(plan.tokens.value()));
  }
  std::string answer = absl::StrFormat("Fits %s of %s tokens", Sequences(held.back().sequences),
                                       Grouped(held.back().context.value()));
  if (held.front().sequences != held.back().sequences) {
    answer += absl::StrFormat(", or %s of %s", Grouped(held.front().sequences),
                              Grouped(held.front().context.value()));
  }
  return answer + ".";
}

std::string Details(const InferencePlan& plan) {
  return absl::StrFormat(
      "%s, %s parameters, %d layers, weights in %s, K and V in %s (%s a token). Budget: %s of %s.",
      plan.architecture, Grouped(plan.parameters), plan.layers, plan.weights_format,
      std::string(NameOf(plan.kv_type)), FormatSize(plan.kv_bytes_per_token),
      FormatSize(plan.budget_bytes), FormatSize(plan.device_bytes));
}

std::vector<BarPart> Parts(const InferencePlan& plan) {
  const std::vector<BarPart> all = {
      {"weights", PartColour::kWeights, {plan.weights_bytes}},
      {"draft model", PartColour::kDraft, {plan.draft_bytes}},
      {"input and output", PartColour::kBuffers, {plan.io_bytes}},
      {"activations", PartColour::kActivations, {plan.activation_bytes}},
      {"runtime", PartColour::kRuntime, {plan.runtime_bytes}},
      {"margin", PartColour::kMargin, {plan.margin_bytes}},
      {"K and V", PartColour::kKv, {plan.kv_pool_bytes}},
      {"unused", PartColour::kUnused, {plan.unused_bytes}}};
  std::vector<BarPart> parts;
  for (const BarPart& part : all) {
    if (part.bytes.front() > Bytes(0)) parts.push_back(part);
  }
  return parts;
}

DrawnChart MemoryChart(const InferencePlan& plan) {
  std::string alternative = "Bar of the memory budget, " + FormatSize(plan.budget_bytes) + ":";
  const std::vector<BarPart> parts = Parts(plan);
  for (const BarPart& part : parts) {
    alternative += absl::StrFormat(" %s %s,", part.name, FormatSize(part.bytes.front()));
  }
  alternative.back() = '.';
  return DrawChart(BarChart{.id = "memory",
                            .title = "Memory of one GPU",
                            .alternative = alternative,
                            .bars = {""},
                            .parts = parts,
                            .limit = plan.budget_bytes,
                            .limit_name = "budget " + FormatSize(plan.budget_bytes)});
}

std::string TermRows(const InferencePlan& plan) {
  std::string rows;
  for (const PlanTerm& term : plan.formulas) {
    rows += TermRow(term.term, term.formula, term.bytes, plan.budget_bytes);
  }
  if (plan.margin_bytes > Bytes(0)) {
    rows += TermRow("margin", "as given", plan.margin_bytes, plan.budget_bytes);
  }
  rows += TermRow("unused", "less than one block", plan.unused_bytes, plan.budget_bytes);
  if (plan.fits()) return rows;
  return rows + TermRow("short", "terms, one block and the state of one sequence, less the budget",
                        plan.shortfall_bytes, plan.budget_bytes, "bad-row");
}

std::string Terms(const InferencePlan& plan) {
  const std::string formula = absl::StrFormat("%s bytes of the device x %g",
                                              Grouped(plan.device_bytes.value()), plan.utilization);
  return TermTable("What takes the memory, and how it is counted", TermRows(plan),
                   TermRow("budget", formula, plan.budget_bytes, plan.budget_bytes));
}

std::string Misfit(const InferencePlan& plan, const std::vector<FitSetting>& fits) {
  if (plan.fits()) return "";
  std::string items;
  for (const FitSetting& fit : fits) {
    items +=
        absl::StrFormat("<li><code>%s</code>: %s block%s of K and V</li>\n", Escaped(fit.setting),
                        Grouped(fit.blocks.value()), fit.blocks == Blocks(1) ? "" : "s");
  }
  if (items.empty()) items = "<li>no single change to the settings</li>\n";
  return "<section class=\"misfit\">\n<h2>What would fit</h2>\n<ul>\n" + items +
         "</ul>\n</section>\n";
}

// Two contexts make a line.
bool CanBeDrawn(const std::vector<CapacityCurve>& curves) {
  size_t longest = 0;
  for (const CapacityCurve& curve : curves) {
    const auto held = std::count_if(curve.points.begin(), curve.points.end(),
                                    [](const ContextCapacity& p) { return p.sequences > 0; });
    longest = std::max(longest, static_cast<size_t>(held));
  }
  return longest > 1;
}

DrawnChart CapacityChart(const std::vector<CapacityCurve>& curves) {
  LineChart chart{.id = "capacity",
                  .title = "Sequences that fit at once, over the context of each",
                  .alternative =
                      "Curves that fall as the context grows, one for each setting; the "
                      "table below holds their figures.",
                  .x_title = "context in tokens (K = 1,024)",
                  .y_title = "sequences",
                  .lines = {}};
  for (const CapacityCurve& curve : curves) {
    ChartLine line{.name = curve.setting, .points = {}};
    for (const ContextCapacity& point : curve.points) {
      line.points.push_back({point.context.value(), point.sequences});
    }
    const bool any = std::any_of(line.points.begin(), line.points.end(),
                                 [](const ChartPoint& point) { return point.y > 0; });
    if (any) chart.lines.push_back(std::move(line));
  }
  return DrawChart(chart);
}

std::string SequencesTable(const std::vector<CapacityCurve>& curves) {
  std::string head = "<th scope=\"col\">Context</th>";
  for (const CapacityCurve& curve : curves) {
    head += "<th scope=\"col\">" + Escaped(curve.setting) + "</th>";
  }
  std::string rows;
  for (size_t i = 0; i < curves.front().points.size(); ++i) {
    const int64_t context = curves.front().points[i].context.value();
    rows += absl::StrFormat("<tr data-context=\"%d\"><th scope=\"row\">%s</th>", context,
                            Grouped(context));
    for (const CapacityCurve& curve : curves) {
      rows += "<td>" + Grouped(curve.points[i].sequences) + "</td>";
    }
    rows += "</tr>\n";
  }
  return "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Sequences at each "
         "context\"><table id=\"sequences\"><caption>Sequences at each context, by setting"
         "</caption>\n<thead><tr>" +
         head + "</tr></thead>\n<tbody>\n" + rows + "</tbody></table></div>\n";
}

std::string PoolLine(const InferencePlan& plan) {
  return absl::StrFormat(
      "<p class=\"note\">%s blocks of %d tokens, %s each: room for %s tokens; longest context "
      "%s.</p>\n",
      Grouped(plan.blocks.value()), plan.block_tokens.value(), FormatSize(plan.block_bytes),
      Grouped(plan.tokens.value()), Grouped(plan.longest_context.value()));
}

}  // namespace

std::string PlanAsHtml(const InferencePlan& plan, const std::vector<FitSetting>& fits,
                       const std::vector<CapacityCurve>& curves) {
  Page page{.kind = "Inference plan",
            .subject = plan.name,
            .answer = Answer(plan),
            .details = Details(plan),
            .bad_news = !plan.fits(),
            .body = Misfit(plan, fits),
            .charts = {MemoryChart(plan)}};
  page.body += Section("Memory", page.charts.back().html + Terms(plan));
  if (curves.empty() || curves.front().points.empty()) return PageAsHtml(page);
  std::string capacity = plan.fits() ? PoolLine(plan) : "";
  if (CanBeDrawn(curves)) {
    page.charts.push_back(CapacityChart(curves));
    capacity += page.charts.back().html;
  }
  page.body += Section("Capacity", capacity + SequencesTable(curves));
  return PageAsHtml(page);
}

}  // namespace plimsoll
