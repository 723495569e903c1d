#include "tools/plan_answer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/capacity_curve.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/nearest_fit.h"
#include "kvcache/sizing/stored_counts.h"
#include "kvcache/sizing/textbook_plan.h"

namespace plimsoll {
namespace {

// The load that --sequences asks for, at the longest of the contexts.
std::optional<WantedLoad> WantedOf(const std::vector<int64_t>& sequences,
                                   const PlanRequest& request) {
  if (sequences.empty()) return std::nullopt;
  const std::vector<Tokens>& contexts = request.options.contexts;
  return WantedLoad{.sequences = *std::max_element(sequences.begin(), sequences.end()),
                    .context = contexts.empty()
                                   ? request.model.max_context
                                   : *std::max_element(contexts.begin(), contexts.end())};
}

// The load by which the rule of thumb is judged: what is wanted, or one sequence.
WantedLoad TypicalLoad(const PlanReport& report, const PlanRequest& request) {
  if (report.wanted) return *report.wanted;
  const std::vector<Tokens>& contexts = request.options.contexts;
  return {.sequences = 1,
          .context = contexts.empty() ? request.model.max_context : contexts.front()};
}

}  // namespace

absl::Status CheckSequences(const std::vector<int64_t>& sequences) {
  for (const int64_t each : sequences) {
    if (each >= 1 && each <= kMaxPlannedSequences) continue;
    return BadField("sequences", each, "1 to " + std::to_string(kMaxPlannedSequences));
  }
  return absl::OkStatus();
}

absl::StatusOr<PlanReport> AnswerPlan(const PlanRequest& request,
                                      const std::vector<int64_t>& sequences, bool curves) {
  absl::StatusOr<InferencePlan> plan = PlanInference(request.model, request.options);
  if (!plan.ok()) return plan.status();
  PlanReport report{.plan = *std::move(plan),
                    .counts = CountsOf(request.model),
                    .wanted = WantedOf(sequences, request),
                    .checkpoint = request.model.headers};
  if (report.wanted) {
    report.held = SequencesHeld(request.model, request.options, report.wanted->context).value_or(0);
  }
  if (!report.holds()) {
    report.fits = NearestFits(request.model, request.options, report.wanted.value_or(WantedLoad{}),
                              request.gpu);
  }
  if (curves) {
    auto points = CapacityCurves(request.model, request.options);
    if (points.ok()) report.curves = *std::move(points);
  }
  report.textbook = CompareWithTextbook(request.model, report.plan, TypicalLoad(report, request));
  return report;
}

}  // namespace plimsoll
