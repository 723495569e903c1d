#include "kvcache/sizing/capacity_curve.h"

#include <algorithm>
#include <utility>

namespace plimsoll {
namespace {

CapacityCurve CurveOf(std::string setting, const InferencePlan& plan) {
  CapacityCurve curve{.setting = std::move(setting), .points = plan.max_sequences};
  std::sort(
      curve.points.begin(), curve.points.end(),
      [](const ContextCapacity& a, const ContextCapacity& b) { return a.context < b.context; });
  return curve;
}

// What of `plan` the type of weights or of K and V decides.
Bytes WeightsOf(const InferencePlan& plan) { return plan.weights_bytes; }
Bytes KvOf(const InferencePlan& plan) { return plan.kv_bytes_per_token; }

// Adds the curve of `options` if the type makes `part` of the plan smaller.
void AddIfNarrower(const ModelConfig& model, const InferenceOptions& options,
                   const InferencePlan& given, Bytes (*part)(const InferencePlan&),
                   std::string setting, std::vector<CapacityCurve>& curves) {
  const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
  if (!plan.ok() || part(*plan) >= part(given)) return;
  curves.push_back(CurveOf(std::move(setting), *plan));
}

}  // namespace

absl::StatusOr<std::vector<CapacityCurve>> CapacityCurves(const ModelConfig& model,
                                                          const InferenceOptions& options) {
  const absl::StatusOr<InferencePlan> given = PlanInference(model, options);
  if (!given.ok()) return given.status();
  std::vector<CapacityCurve> curves = {CurveOf("as given", *given)};
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
    InferenceOptions narrower = options;
    narrower.weights = type;
    AddIfNarrower(model, narrower, *given, WeightsOf, "--weights " + std::string(NameOf(type)),
                  curves);
  }
  for (const ElementType type : {ElementType::kFp8, ElementType::kInt8, ElementType::kInt4}) {
    InferenceOptions narrower = options;
    narrower.kv = type;
    AddIfNarrower(model, narrower, *given, KvOf, "--kv " + std::string(NameOf(type)), curves);
  }
  return curves;
}

}  // namespace plimsoll
