#include "kvcache/sizing/training_curves.h"

#include <optional>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/training_plan.h"

namespace plimsoll {
namespace {

// An eighth of `value` to eight times as much, in doublings; nothing below 1, nothing twice.
std::vector<int64_t> Ladder(int64_t value) {
  std::vector<int64_t> ladder;
  for (int64_t divisor = 8; divisor >= 1; divisor /= 2) {
    const int64_t at = value / divisor;
    if (at >= 1 && (ladder.empty() || at > ladder.back())) ladder.push_back(at);
  }
  for (int64_t factor = 2; factor <= 8; factor *= 2) ladder.push_back(value * factor);
  return ladder;
}

template <class Model>
std::optional<ActivationPoint> PointAt(int64_t at, const Model& model, TrainingOptions options) {
  ActivationPoint point{.at = at, .none = {}, .selective = {}, .full = {}};
  for (const auto& [recompute, bytes] : {std::pair{Recompute::kNone, &ActivationPoint::none},
                                         {Recompute::kSelective, &ActivationPoint::selective},
                                         {Recompute::kFull, &ActivationPoint::full}}) {
    options.recompute = recompute;
    const absl::StatusOr<TrainingPlan> plan = PlanTraining(model, options);
    if (!plan.ok()) return std::nullopt;
    point.*bytes = plan->activations_bytes;
  }
  return point;
}

// `set` puts one of `values` into the options.
template <class Model, class Set>
std::vector<ActivationPoint> CurveOver(const std::vector<int64_t>& values, Set set,
                                       const Model& model, const TrainingOptions& options) {
  std::vector<ActivationPoint> points;
  for (const int64_t value : values) {
    TrainingOptions changed = options;
    set(changed, value);
    if (const auto point = PointAt(value, model, changed)) points.push_back(*point);
  }
  return points;
}

template <class Model>
absl::StatusOr<std::vector<ZeroPoint>> CurveOverStages(const Model& model,
                                                       TrainingOptions options) {
  std::vector<ZeroPoint> points;
  for (int stage = 0; stage <= 3; ++stage) {
    options.zero_stage = stage;
    const absl::StatusOr<TrainingPlan> plan = PlanTraining(model, options);
    if (!plan.ok()) return plan.status();
    points.push_back({.stage = stage,
                      .weights = plan->weights_bytes,
                      .gradients = plan->gradients_bytes,
                      .optimizer = plan->optimizer_bytes,
                      .buffers = plan->buffers_bytes});
  }
  return points;
}

template <class Model>
absl::StatusOr<TrainingCurves> CurvesOf(const Model& model, const TrainingOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(PlanTraining(model, options).status());
  TrainingCurves curves;
  curves.over_sequence = CurveOver(
      Ladder(options.sequence.value()),
      [](TrainingOptions& o, int64_t tokens) { o.sequence = Tokens(tokens); }, model, options);
  curves.over_batch = CurveOver(
      Ladder(options.batch), [](TrainingOptions& o, int64_t batch) { o.batch = batch; }, model,
      options);
  TrainingOptions split = options;
  if (split.replicas() == 1) split.gpus *= kReplicasOfZeroCurve;
  curves.zero_replicas = split.replicas();
  auto stages = CurveOverStages(model, split);
  if (!stages.ok()) return stages.status();
  curves.over_zero = *std::move(stages);
  return curves;
}

}  // namespace

absl::StatusOr<TrainingCurves> TrainingCurvesOf(const ModelConfig& model,
                                                const TrainingOptions& options) {
  return CurvesOf(model, options);
}

absl::StatusOr<TrainingCurves> TrainingCurvesOf(const TextbookModel& model,
                                                const TrainingOptions& options) {
  return CurvesOf(model, options);
}

}  // namespace plimsoll
