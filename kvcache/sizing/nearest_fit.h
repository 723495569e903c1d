// What to change when a model does not fit: the smallest steps that make it.
//
// Threads: pure. Cost: one plan for each setting tried. Errors: none; the options were planned with
// before.
#pragma once

#include <string>
#include <vector>

#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

struct FitSetting {
  std::string setting;  // "--weights int8", "--memory 17179869184"
  Blocks blocks;        // that the pool then has
};

// For options whose plan has a shortfall: fewer tokens in a step if that is enough, the widest
// narrower type of weights that is enough (or both together, where neither alone is), the same for
// K and V, and the least memory that is enough with the options as they are.
std::vector<FitSetting> NearestFits(const ModelConfig& model, const InferenceOptions& options);

}  // namespace plimsoll
