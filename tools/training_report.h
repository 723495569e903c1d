// A training plan for people (a table of terms, sums, GPUs) and for programs (JSON).
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <string>
#include <vector>

#include "kvcache/sizing/training_fits.h"
#include "kvcache/sizing/training_plan.h"

namespace plimsoll {

// `fits`: for a plan with a shortfall, what would fit.
std::string TrainingAsText(const TrainingPlan& plan, const std::vector<TrainingFit>& fits);

// The object described in the help of `plimsoll plan-training`. Host and disk stand under memory
// where something is offloaded, gpus_needed where a device was given, and nearest_fits where it is
// too small.
std::string TrainingAsJson(const TrainingPlan& plan, const std::vector<TrainingFit>& fits);

}  // namespace plimsoll
