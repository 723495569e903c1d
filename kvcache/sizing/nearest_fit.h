// What to change when a plan does not hold what is wanted: the smallest step of each kind that
// makes it.
//
// Threads: pure. Cost: some hundred plans at most. Errors: none; the options were planned with
// before.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/solve.h"

namespace plimsoll {

struct FitSetting {
  std::string setting;  // "--weights int8", "--memory 17179869184"
  Blocks blocks;        // that the pool then has
};

// For options whose plan does not hold `wanted` (by default one token of one sequence). Each of
// these alone, where it is enough:
//
//   fewer tokens in a step     halved, no fewer than 512
//   narrower weights           the widest; or with fewer tokens in a step where neither is enough
//   narrower K and V           the widest
//   more GPUs                  the fewest, at most kMostOfOneKind; with the runtime of `gpu`
//   a shorter context          the longest that as many sequences can have
//   fewer sequences            the most that can have the context
//   more memory                the least
std::vector<FitSetting> NearestFits(const ModelConfig& model, const InferenceOptions& options,
                                    const WantedLoad& wanted = {},
                                    const std::optional<GpuSpec>& gpu = std::nullopt);

}  // namespace plimsoll
