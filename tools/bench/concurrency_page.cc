#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/bench/concurrency_report.h"
#include "tools/grouped_number.h"
#include "tools/report/html_text.h"
#include "tools/report/page.h"

namespace plimsoll {
namespace {

std::string ContextName(const ConcurrencyRun& run) {
  return Grouped(run.context.value()) + " tokens";
}

std::string AnswerOf(const ConcurrencyReport& report) {
  std::string answer;
  for (const ConcurrencyRun& run : report.runs) {
    answer += (answer.empty() ? "Of " : "; of ") + ContextName(run) + ": " + OutcomeText(run);
  }
  return answer + ".";
}

std::string Details(const ConcurrencyReport& report) {
  const std::string limit =
      report.max_itl ? " Steps of at most " + MillisecondsText(*report.max_itl) + "." : "";
  return absl::StrFormat(
      "On %s, K and V in %s, %s of %d tokens (%s each). Memory moves %.2f GB/s.%s", report.device,
      std::string(NameOf(report.kv_type)), BlocksText(report), report.block_tokens.value(),
      FormatSize(report.block_bytes), report.bytes_per_second / 1e9, limit);
}

int64_t Microseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

DrawnChart Throughput(const ConcurrencyReport& report) {
  LineChart chart{.id = "throughput",
                  .title = "Tokens per second, over sequences that decode at once",
                  .alternative = "A line for each context; the figures are in the table below.",
                  .x_title = "sequences",
                  .y_title = "tokens per second",
                  .lines = {}};
  for (const ConcurrencyRun& run : report.runs) {
    ChartLine line{.name = ContextName(run), .points = {}};
    for (const ConcurrencyLevel& level : run.levels) {
      line.points.push_back({level.sequences, std::llround(level.tokens_per_second)});
    }
    if (!line.points.empty()) chart.lines.push_back(std::move(line));
  }
  return DrawChart(chart);
}

DrawnChart Latency(const ConcurrencyReport& report) {
  LineChart chart{.id = "latency",
                  .title = "Time of a step beside what memory allows",
                  .alternative =
                      "For each context the median step and its bound, in "
                      "microseconds; the figures are in the table below.",
                  .x_title = "sequences",
                  .y_title = "microseconds",
                  .lines = {}};
  for (const ConcurrencyRun& run : report.runs) {
    ChartLine steps{.name = ContextName(run) + ", median", .points = {}};
    ChartLine bound{.name = ContextName(run) + ", bound", .points = {}};
    for (const ConcurrencyLevel& level : run.levels) {
      steps.points.push_back({level.sequences, Microseconds(level.itl_p50)});
      bound.points.push_back({level.sequences, Microseconds(level.bound)});
    }
    if (steps.points.empty()) continue;
    chart.lines.push_back(std::move(steps));
    chart.lines.push_back(std::move(bound));
  }
  return DrawChart(chart);
}

std::string Rows(const ConcurrencyRun& run) {
  std::string rows;
  for (const ConcurrencyLevel& level : run.levels) {
    rows += absl::StrFormat(
        "<tr><th scope=\"row\">%s</th><td>%s</td><td>%.1f</td><td>%s</td><td>%s</td><td>%s</td>"
        "<td>%s</td><td>%.0f%%</td></tr>\n",
        Grouped(run.context.value()), Grouped(level.sequences), level.tokens_per_second,
        MillisecondsText(level.itl_p50), MillisecondsText(level.itl_p99),
        FormatSize(level.bytes_per_step), MillisecondsText(level.bound),
        100 * level.ShareOfBound());
  }
  return rows;
}

std::string Table(const ConcurrencyReport& report) {
  std::string rows;
  for (const ConcurrencyRun& run : report.runs) rows += Rows(run);
  return "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Every level\"><table "
         "id=\"levels\"><caption>Every level that was measured</caption>\n<thead><tr><th "
         "scope=\"col\">Context</th><th scope=\"col\">Sequences</th><th "
         "scope=\"col\">Tokens/s</th><th scope=\"col\">Step, median</th><th "
         "scope=\"col\">Step, p99</th><th scope=\"col\">Read in a step</th><th "
         "scope=\"col\">Bound</th><th scope=\"col\">Of the bound</th></tr></thead>\n<tbody>\n" +
         rows + "</tbody></table></div>\n";
}

std::string HowItWasDone(const ConcurrencyReport& report) {
  std::string text = "<p class=\"note\">";
  for (const ConcurrencyRun& run : report.runs) {
    if (run.prefill <= Duration::zero()) continue;
    text += absl::StrFormat("A prompt of %s tokens was computed in %s. ",
                            Grouped(run.prompt.value()), MillisecondsText(run.prefill));
  }
  return text +
         "Its K and V were copied to the blocks of the other sequences, which computing it again "
         "would have filled with the same bytes; every step of every level is computed. The bound "
         "is what a step reads, all weights and the K and V of all sequences, over the rate at "
         "which this machine read memory in the same run.</p>\n";
}

}  // namespace

std::string ConcurrencyAsHtml(const ConcurrencyReport& report) {
  Page page{.kind = "Concurrency",
            .subject = report.model,
            .answer = AnswerOf(report),
            .details = Details(report),
            .bad_news = !std::all_of(report.runs.begin(), report.runs.end(),
                                     [](const auto& run) { return run.AsPredicted(); }),
            .body = {},
            .charts = {}};
  const bool any = std::any_of(report.runs.begin(), report.runs.end(),
                               [](const auto& run) { return !run.levels.empty(); });
  if (any) {
    page.charts = {Throughput(report), Latency(report)};
    page.body = Section("Throughput", page.charts[0].html) +
                Section("Latency", page.charts[1].html + HowItWasDone(report));
  }
  page.body += Section("Levels", Table(report));
  return PageAsHtml(page);
}

}  // namespace plimsoll
