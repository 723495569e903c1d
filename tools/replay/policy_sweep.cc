#include "tools/replay/policy_sweep.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"

namespace plimsoll {
namespace {

using nlohmann::ordered_json;

constexpr double kWatermarks[] = {0.2,  0.15, 0.12,  0.1,  0.09,   0.08,  0.07,   0.06,  0.05, 0.04,
                                  0.03, 0.02, 0.015, 0.01, 0.0075, 0.005, 0.0025, 0.001, 0};
constexpr double kGoals[] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1};

std::string Percent(double share) { return absl::StrFormat("%g %%", share * 100); }

std::vector<SweepRow> Settings() {
  std::vector<SweepRow> rows;
  const auto add = [&](const PolicyOptions& policy, DeclaredLength declared, std::string setting) {
    rows.push_back({policy, declared, std::move(setting), {}});
  };
  add({.policy = Policy::kNeverEvict}, {DeclaredLength::Rule::kContext}, "the context declared");
  add({.policy = Policy::kNeverEvict}, {}, "the truth declared");
  for (const double watermark : kWatermarks) {
    add({.policy = Policy::kWatermark, .watermark = watermark}, {}, Percent(watermark));
  }
  for (const double goal : kGoals) {
    add({.policy = Policy::kQuantile, .overflow_goal = goal}, {}, Percent(goal));
  }
  return rows;
}

double OverflowShare(const ReplayReport& report) {
  const auto decisions = static_cast<double>(report.steps->decisions);
  return decisions > 0 ? static_cast<double>(report.steps->overflows) / decisions : 0;
}

}  // namespace

double SweepRow::PreemptionsPer100() const {
  const auto admitted = static_cast<double>(report.admitted);
  return admitted > 0 ? 100 * static_cast<double>(report.preempted) / admitted : 0;
}

absl::StatusOr<PolicySweep> SweepPolicies(const Workload& workload, const StepOptions& options) {
  PolicySweep sweep{options, Settings()};
  for (SweepRow& row : sweep.rows) {
    StepOptions with = options;
    with.policy = row.policy;
    if (row.declared.rule != DeclaredLength::Rule::kTrue) with.declared = row.declared;
    absl::StatusOr<ReplayReport> report = SimulateSteps(workload, with);
    if (!report.ok()) return report.status();
    row.report = *std::move(report);
  }
  return sweep;
}

std::string ToText(const PolicySweep& sweep) {
  std::string text =
      absl::StrFormat("%-12s %-21s %10s %9s %10s %11s %11s %12s\n", "policy", "setting", "running",
                      "of pool", "preempted", "overflows", "recomputed", "queued p99");
  text += absl::StrFormat("%-12s %-21s %10s %9s %10s %11s %11s %12s\n", "", "", "on average", "",
                          "per 100", "of choices", "tokens", "s");
  for (const SweepRow& row : sweep.rows) {
    const StepFigures& steps = *row.report.steps;
    text += absl::StrFormat("%-12s %-21s %10.3f %7.1f %% %10.2f %9.2f %% %11d %12.1f\n",
                            steps.policy, row.setting, row.report.mean_sequences,
                            100 * steps.pool_fraction, row.PreemptionsPer100(),
                            100 * OverflowShare(row.report), steps.recomputed.value(),
                            std::chrono::duration<double>(steps.queued.p99).count());
  }
  return text;
}

std::string ToJson(const PolicySweep& sweep) {
  ordered_json rows = ordered_json::array();
  for (const SweepRow& row : sweep.rows) {
    ordered_json object = {{"policy", row.report.steps->policy}, {"setting", row.setting}};
    object.update(ordered_json::parse(ToJson(row.report)));
    rows.push_back(std::move(object));
  }
  return ordered_json{{"rows", std::move(rows)}}.dump(2) + "\n";
}

}  // namespace plimsoll
