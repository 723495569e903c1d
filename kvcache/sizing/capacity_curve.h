// How many sequences fit at each context, for a plan as it stands and with narrower types: what a
// chart of capacity is drawn from.
//
// The first curve is the plan as given. Then come int8 and int4 weights, and fp8, int8 and int4 K
// and V, each alone and only where it takes fewer bytes than the plan as given. Every curve has the
// same contexts: the options', or the plan's ladder. A setting that does not fit has a curve of
// zeros. No curve rises with the context by whole blocks.
//
// Threads: pure. Cost: one plan a curve. Errors: those of PlanInference.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

struct CapacityCurve {
  std::string setting;                  // "as given", "--weights int8", "--kv fp8"
  std::vector<ContextCapacity> points;  // by rising context
};

absl::StatusOr<std::vector<CapacityCurve>> CapacityCurves(const ModelConfig& model,
                                                          const InferenceOptions& options);

}  // namespace plimsoll
