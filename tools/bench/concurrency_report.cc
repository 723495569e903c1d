#include "tools/bench/concurrency_report.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

double Milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

std::string PrefillText(const ConcurrencyRun& run) {
  if (run.prefill <= Duration::zero()) return "";
  const double seconds = std::chrono::duration<double>(run.prefill).count();
  return absl::StrFormat(
      "  one prompt of %d tokens in %.2f s, %.0f tokens/s; copied to the others\n",
      run.prompt.value(), seconds, static_cast<double>(run.prompt.value()) / seconds);
}

std::string LevelTable(const ConcurrencyRun& run) {
  std::vector<TextRow> rows = {
      {"sequences", "tokens/s", "step p50", "step p99", "read in a step", "bound", "of the bound"}};
  for (const ConcurrencyLevel& level : run.levels) {
    rows.push_back({Grouped(level.sequences), absl::StrFormat("%.1f", level.tokens_per_second),
                    MillisecondsText(level.itl_p50), MillisecondsText(level.itl_p99),
                    FormatSize(level.bytes_per_step), MillisecondsText(level.bound),
                    absl::StrFormat("%.0f%%", 100 * level.ShareOfBound())});
  }
  return rows.size() > 1 ? TextTable(rows, FirstColumn::kNumbers) : "";
}

nlohmann::ordered_json LevelJson(const ConcurrencyLevel& level) {
  return {{"sequences", level.sequences},
          {"steps", level.steps},
          {"tokens_per_second", level.tokens_per_second},
          {"itl_ms_p50", Milliseconds(level.itl_p50)},
          {"itl_ms_p99", Milliseconds(level.itl_p99)},
          {"bytes_per_step", level.bytes_per_step.value()},
          {"bound_ms", Milliseconds(level.bound)},
          {"share_of_bound", level.ShareOfBound()}};
}

nlohmann::ordered_json RunJson(const ConcurrencyRun& run) {
  nlohmann::ordered_json levels = nlohmann::json::array();
  for (const ConcurrencyLevel& level : run.levels) levels.push_back(LevelJson(level));
  return {{"context", run.context.value()},          {"predicted_sequences", run.predicted},
          {"reached_sequences", run.reached},        {"pool_full", run.pool_full},
          {"as_predicted", run.AsPredicted()},       {"prompt_tokens", run.prompt.value()},
          {"prefill_ms", Milliseconds(run.prefill)}, {"levels", std::move(levels)}};
}

}  // namespace

std::string MillisecondsText(Duration duration) {
  return absl::StrFormat("%.2f ms", Milliseconds(duration));
}

std::string OutcomeText(const ConcurrencyRun& run) {
  const char* const why = run.predicted == 0            ? ": not one fits"
                          : run.pool_full               ? ": the pool is full"
                          : run.reached < run.predicted ? ": more would be slower than asked for"
                                                        : "";
  return absl::StrFormat("predicted %s sequence%s, reached %s%s", Grouped(run.predicted),
                         run.predicted == 1 ? "" : "s", Grouped(run.reached), why);
}

std::string BlocksText(const ConcurrencyReport& report) {
  const std::string blocks = Grouped(report.blocks.value()) + " blocks";
  if (report.blocks == report.planned_blocks) return blocks;
  return blocks + " (" + Grouped(report.planned_blocks.value()) + " planned)";
}

std::string ConcurrencyAsText(const ConcurrencyReport& report) {
  std::string text = absl::StrFormat(
      "%s on %s, K and V in %s; %s of %d tokens, %s each; memory moves %.2f GB/s\n", report.model,
      report.device, std::string(NameOf(report.kv_type)), BlocksText(report),
      report.block_tokens.value(), FormatSize(report.block_bytes), report.bytes_per_second / 1e9);
  for (const ConcurrencyRun& run : report.runs) {
    text += absl::StrFormat("\ncontext %s: ", Grouped(run.context.value())) + OutcomeText(run) +
            "\n" + PrefillText(run) + LevelTable(run);
  }
  return text;
}

std::string ConcurrencyAsJson(const ConcurrencyReport& report) {
  nlohmann::ordered_json runs = nlohmann::json::array();
  for (const ConcurrencyRun& run : report.runs) runs.push_back(RunJson(run));
  nlohmann::ordered_json object = {{"model", report.model},
                                   {"device", report.device},
                                   {"kv", std::string(NameOf(report.kv_type))},
                                   {"blocks", report.blocks.value()},
                                   {"planned_blocks", report.planned_blocks.value()},
                                   {"block_tokens", report.block_tokens.value()},
                                   {"block_bytes", report.block_bytes.value()},
                                   {"weights_bytes", report.weights_bytes.value()},
                                   {"bytes_per_second", report.bytes_per_second}};
  if (report.max_itl) object["max_itl_ms"] = Milliseconds(*report.max_itl);
  object["contexts"] = std::move(runs);
  return object.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace plimsoll
