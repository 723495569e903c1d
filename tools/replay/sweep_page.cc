#include "tools/replay/sweep_page.h"

#include "absl/strings/str_format.h"
#include "tools/report/html_text.h"
#include "tools/report/page.h"

namespace plimsoll {
namespace {

// More preemptions than this nobody wants; where they stop, the part that matters can be read.
constexpr double kMostDrawn = 5;  // per 100 requests

const SweepRow* Best(const PolicySweep& sweep, Policy policy) {
  const SweepRow* best = nullptr;
  for (const SweepRow& row : sweep.rows) {
    if (row.policy.policy != policy || row.PreemptionsPer100() > 2) continue;
    if (best == nullptr || row.report.mean_sequences > best->report.mean_sequences) best = &row;
  }
  return best;
}

std::string Answer(const PolicySweep& sweep) {
  std::string text;
  for (const Policy policy : {Policy::kNeverEvict, Policy::kWatermark, Policy::kQuantile}) {
    const SweepRow* const best = Best(sweep, policy);
    if (best == nullptr) continue;
    text +=
        absl::StrFormat("%s%s runs %.2f (%s)", text.empty() ? "" : ", ",
                        std::string(NameOf(policy)), best->report.mean_sequences, best->setting);
  }
  return "With at most 2 preemptions per 100 requests, " + text + ".";
}

std::string Details(const PolicySweep& sweep) {
  const ReplayReport& first = sweep.rows.front().report;
  return absl::StrFormat("%d requests, %d blocks of %d tokens, %s, victim %s", first.requests,
                         first.total_blocks.value(), first.block_tokens.value(),
                         sweep.pool.backlog ? "all waiting from the start" : "at their arrivals",
                         std::string(NameOf(sweep.pool.victim)));
}

DrawnChart Frontier(const PolicySweep& sweep) {
  FrontierChart chart{.id = "frontier",
                      .title = "Running requests and preemptions",
                      .alternative =
                          "Mean running requests over preemptions per 100 requests, a "
                          "line for each policy; the figures are in the table below.",
                      .x_title = "Preemptions per 100 requests",
                      .y_title = "Running requests, on average"};
  for (const Policy policy : {Policy::kQuantile, Policy::kWatermark, Policy::kNeverEvict}) {
    FrontierLine line{std::string(NameOf(policy)), {}};
    for (const SweepRow& row : sweep.rows) {
      if (row.policy.policy != policy || row.PreemptionsPer100() > kMostDrawn) continue;
      line.points.push_back({row.PreemptionsPer100(), row.report.mean_sequences, row.setting});
    }
    if (!line.points.empty()) chart.lines.push_back(std::move(line));
  }
  return DrawChart(chart);
}

std::string Table(const PolicySweep& sweep) {
  std::string rows;
  for (const SweepRow& row : sweep.rows) {
    const StepFigures& steps = *row.report.steps;
    rows += absl::StrFormat(
        "<tr><th scope=\"row\">%s, %s</th><td>%.3f</td><td>%.1f%%</td><td>%.2f</td><td>%d of "
        "%d</td><td>%d</td></tr>\n",
        Escaped(steps.policy), Escaped(row.setting), row.report.mean_sequences,
        100 * steps.pool_fraction, row.PreemptionsPer100(), steps.overflows, steps.decisions,
        steps.recomputed.value());
  }
  return "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Every setting\"><table "
         "id=\"settings\"><caption>Every policy and setting</caption>\n<thead><tr><th "
         "scope=\"col\">Policy</th><th scope=\"col\">Running</th><th scope=\"col\">Of the "
         "pool</th><th scope=\"col\">Preempted per 100</th><th scope=\"col\">Overflows of "
         "decisions</th><th scope=\"col\">Recomputed tokens</th></tr></thead>\n<tbody>\n" +
         rows + "</tbody></table></div>\n";
}

}  // namespace

std::string SweepAsHtml(const PolicySweep& sweep) {
  Page page{.kind = "Admission policies",
            .subject = "Running requests against preemptions",
            .answer = Answer(sweep),
            .details = Details(sweep),
            .body = {},
            .charts = {Frontier(sweep)}};
  page.body =
      Section("Frontier",
              page.charts.back().html +
                  absl::StrFormat("<p class=\"note\">Settings with more than %g preemptions "
                                  "per 100 requests, or far fewer running than others, are in "
                                  "the table only.</p>\n",
                                  kMostDrawn)) +
      Section("Settings", Table(sweep));
  return PageAsHtml(page);
}

}  // namespace plimsoll
