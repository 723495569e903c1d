#include "kvcache/sizing/nearest_fit.h"

#include <algorithm>
#include <utility>

#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

// Adds the setting if it makes the model fit; says whether it did.
bool AddIfItFits(const ModelConfig& model, const InferenceOptions& options, std::string setting,
                 std::vector<FitSetting>& fits) {
  const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
  if (!plan.ok() || !plan->fits()) return false;
  fits.push_back({std::move(setting), plan->blocks});
  return true;
}

// The widest narrower type that fits, at `options` otherwise.
bool AddNarrowerWeights(const ModelConfig& model, InferenceOptions options,
                        const std::string& beside, std::vector<FitSetting>& fits) {
  const ElementType now = WidthOf(options.weights ? *options.weights : StoredFormatOf(model));
  for (const ElementType type : {ElementType::kBf16, ElementType::kInt8, ElementType::kInt4}) {
    if (BitsOf(type) >= BitsOf(now)) continue;
    options.weights = type;
    const std::string setting = "--weights " + std::string(NameOf(type)) + beside;
    if (AddIfItFits(model, options, setting, fits)) return true;
  }
  return false;
}

// The widest narrower type of K and V that fits, at `options` otherwise: for a model that misses by
// less than a block.
void AddNarrowerKv(const ModelConfig& model, InferenceOptions options,
                   std::vector<FitSetting>& fits) {
  const ElementType now = options.kv.value_or(DefaultKvType(model));
  for (const ElementType type : {ElementType::kBf16, ElementType::kInt8, ElementType::kInt4}) {
    if (BitsOf(type) >= BitsOf(now)) continue;
    options.kv = type;
    if (AddIfItFits(model, options, "--kv " + std::string(NameOf(type)), fits)) return;
  }
}

std::string StepSetting(Tokens step) {
  return "--max-batched-tokens " + std::to_string(step.value());
}

}  // namespace

std::vector<FitSetting> NearestFits(const ModelConfig& model, const InferenceOptions& options) {
  std::vector<FitSetting> fits;
  InferenceOptions smaller = options;
  smaller.max_batched_tokens = std::min(options.max_batched_tokens, Tokens(512));
  const std::string step = StepSetting(smaller.max_batched_tokens);
  const bool step_helps = smaller.max_batched_tokens < options.max_batched_tokens;
  if (step_helps) AddIfItFits(model, smaller, step, fits);
  if (!AddNarrowerWeights(model, options, "", fits) && fits.empty() && step_helps) {
    AddNarrowerWeights(model, smaller, " " + step, fits);
  }
  AddNarrowerKv(model, options, fits);
  const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
  if (!plan.ok()) return fits;
  InferenceOptions larger = options;
  larger.device_bytes = DeviceFor(plan->budget_bytes + plan->shortfall_bytes, options.utilization);
  AddIfItFits(model, larger, "--memory " + std::to_string(larger.device_bytes.value()), fits);
  return fits;
}

}  // namespace plimsoll
