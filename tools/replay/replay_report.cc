#include "tools/replay/replay_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"

namespace plimsoll {
namespace {

using nlohmann::ordered_json;

double Rounded(double value) { return std::round(value * 1e4) / 1e4; }

int64_t Microseconds(Duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

void AddServer(const ServerFigures& server, ordered_json& object) {
  object["admission_us"] = {{"p50", Microseconds(server.admission.p50)},
                            {"p99", Microseconds(server.admission.p99)},
                            {"max", Microseconds(server.admission.max)}};
  object["leaked_blocks"] = server.leaked.value();
  object["conserved"] = server.conserved;
  object["device"] = server.device;
  object["memory"] = ordered_json::array();
  for (const MemoryFigures& memory : server.memory) {
    object["memory"].push_back({{"stage", memory.stage},
                                {"predicted_bytes", memory.predicted.value()},
                                {"measured_bytes", memory.measured.value()}});
  }
  if (!server.generation) return;
  object["generated_tokens"] = server.generation->generated_tokens;
  object["tokens_per_second"] = Rounded(server.generation->tokens_per_second);
}

void AddSteps(const StepFigures& steps, ordered_json& object) {
  object["policy"] = steps.policy;
  object["victim"] = steps.victim;
  object["steps"] = steps.steps;
  object["decisions"] = steps.decisions;
  object["overflows"] = steps.overflows;
  object["recomputed_tokens"] = steps.recomputed.value();
  object["queue_us"] = {{"p50", Microseconds(steps.queued.p50)},
                        {"p99", Microseconds(steps.queued.p99)},
                        {"max", Microseconds(steps.queued.max)}};
  object["pool_fraction"] = Rounded(steps.pool_fraction);
}

std::string Row(const std::string& name, const std::string& value) {
  return absl::StrFormat("%-20s %s\n", name, value);
}

std::string Reasons(const std::map<std::string, int64_t>& reasons) {
  std::string text;
  for (const auto& [reason, count] : reasons)
    absl::StrAppendFormat(&text, "  %d %s", count, reason);
  return text;
}

std::string Milliseconds(Duration d) {
  return absl::StrFormat("%.2f ms", static_cast<double>(d.count()) / 1e6);
}

std::string Percent(double part, double whole) {
  return absl::StrFormat("%.1f %%", whole > 0 ? 100 * part / whole : 0);
}

std::string ServerRows(const ServerFigures& server) {
  std::string text = Row("admission p50", Milliseconds(server.admission.p50));
  text += Row("admission p99", Milliseconds(server.admission.p99));
  text += Row("admission max", Milliseconds(server.admission.max));
  if (server.generation) {
    text += Row("generated tokens", absl::StrFormat("%d", server.generation->generated_tokens));
    text += Row("tokens per second", absl::StrFormat("%.1f", server.generation->tokens_per_second));
  }
  text += Row("leaked blocks", absl::StrFormat("%d", server.leaked.value()));
  text += Row("conserved", server.conserved ? "yes" : "NO");
  text += Row("device", server.device);
  for (const MemoryFigures& memory : server.memory) {
    text +=
        Row(memory.stage, absl::StrFormat("%s predicted, %s measured", FormatSize(memory.predicted),
                                          FormatSize(memory.measured)));
  }
  return text;
}

std::string StepRows(const StepFigures& steps) {
  std::string text = Row("policy", steps.policy + ", victim " + steps.victim);
  text += Row("steps", absl::StrFormat("%d", steps.steps));
  text += Row("overflows",
              absl::StrFormat("%d, %s of the %d decisions to start something", steps.overflows,
                              Percent(static_cast<double>(steps.overflows),
                                      static_cast<double>(steps.decisions)),
                              steps.decisions));
  text += Row("recomputed", absl::StrFormat("%d tokens", steps.recomputed.value()));
  text += Row("queued p50", Milliseconds(steps.queued.p50));
  text += Row("queued p99", Milliseconds(steps.queued.p99));
  text += Row("queued max", Milliseconds(steps.queued.max));
  return text + Row("of the pool", Percent(steps.pool_fraction, 1) + " held a token");
}

}  // namespace

LatencyFigures LatencyFiguresOf(std::vector<Duration> samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  const auto rank = [&](size_t percent) {
    return samples[(samples.size() * percent + 99) / 100 - 1];
  };
  return {.p50 = rank(50), .p99 = rank(99), .max = samples.back()};
}

std::string ToJson(const ReplayReport& report) {
  ordered_json object = {
      {"requests", report.requests},
      {"admitted", report.admitted},
      {"waited", report.waited},
      {"refused", report.refused},
      {"preempted", report.preempted},
      {"peak_sequences", report.peak_sequences},
      {"mean_sequences", Rounded(report.mean_sequences)},
      {"peak_blocks", report.peak_blocks.value()},
      {"useful_fraction", Rounded(report.useful_fraction)},
      {"prefix_hit_tokens", report.prefix_hit_tokens.value()},
      {"prompt_tokens", report.prompt_tokens.value()},
      {"prefix_hit_blocks", report.prefix_hit_blocks.value()},
      {"prompt_blocks", report.prompt_blocks.value()},
      {"refusals", report.refusals},
      {"total_blocks", report.total_blocks.value()},
      {"block_tokens", report.block_tokens.value()},
      {"seed", report.seed},
  };
  if (!report.eviction.empty()) object["eviction"] = report.eviction;
  if (report.steps) AddSteps(*report.steps, object);
  if (report.server) {
    object["lost"] = report.lost;
    object["failed"] = report.failed;
    object["errors"] = report.errors;
    AddServer(*report.server, object);
  }
  return object.dump(2) + "\n";
}

std::string ToText(const ReplayReport& report) {
  std::string text = Row("requests", absl::StrFormat("%d", report.requests));
  text += Row("admitted",
              absl::StrFormat("%d, %d of them after waiting", report.admitted, report.waited));
  text += Row("refused", absl::StrFormat("%d%s", report.refused, Reasons(report.refusals)));
  if (report.lost > 0) text += Row("lost", absl::StrFormat("%d without an answer", report.lost));
  if (report.failed > 0)
    text += Row("failed", absl::StrFormat("%d after admission", report.failed));
  if (!report.errors.empty()) text += Row("errors", Reasons(report.errors));
  text += Row("preempted", absl::StrFormat("%d times", report.preempted));
  text += Row("sequences", absl::StrFormat("%.2f on average, %d at most", report.mean_sequences,
                                           report.peak_sequences));
  text +=
      Row("blocks", absl::StrFormat("%d at most of %d, %d tokens each", report.peak_blocks.value(),
                                    report.total_blocks.value(), report.block_tokens.value()));
  text += Row("useful slots", Percent(report.useful_fraction, 1));
  if (!report.eviction.empty()) text += Row("eviction", report.eviction);
  text += Row("prefix hits",
              absl::StrFormat("%d of %d prompt tokens, %d of %d blocks",
                              report.prefix_hit_tokens.value(), report.prompt_tokens.value(),
                              report.prefix_hit_blocks.value(), report.prompt_blocks.value()));
  if (report.steps) text += StepRows(*report.steps);
  if (report.server) text += ServerRows(*report.server);
  return text + Row("seed", absl::StrFormat("%d", report.seed));
}

}  // namespace plimsoll
