// A training plan for people (a table of terms, sums, GPUs) and for programs (JSON).
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/sizing/training_curves.h"
#include "kvcache/sizing/training_fits.h"
#include "kvcache/sizing/training_plan.h"

namespace plimsoll {

// A plan and what is written beside it.
struct TrainingReport {
  TrainingPlan plan;
  std::vector<TrainingFit> fits = {};                   // where it has a shortfall, what would fit
  std::optional<TrainingCurves> curves = std::nullopt;  // where they were asked for
};

std::string TrainingAsText(const TrainingReport& report);

// The object described in the help of `plimsoll plan-training`. Host and disk stand under memory
// where something is offloaded, gpus_needed where a device was given, and nearest_fits where it is
// too small.
std::string TrainingAsJson(const TrainingReport& report);
// The same object.
nlohmann::ordered_json TrainingJsonOf(const TrainingReport& report);

}  // namespace plimsoll
