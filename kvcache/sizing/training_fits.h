// What to change when training does not fit: settings that make it.
//
// Threads: pure. Cost: one plan for each setting tried. Errors: none; the options were planned with
// before.
#pragma once

#include <string>
#include <vector>

#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/training_plan.h"

namespace plimsoll {

struct TrainingFit {
  std::string setting;  // "--zero 3 --gpus 4"
  Bytes total_bytes;    // of one GPU, then
};

// For options whose plan has a shortfall, each of these alone where it is enough: more is
// recomputed, ZeRO over the fewest GPUs (each stage above the present one), states offloaded to
// the CPU, adapters instead of all weights. Where none is, ZeRO-3 and full recompute together.
std::vector<TrainingFit> TrainingFits(const ModelConfig& model, const TrainingOptions& options);
std::vector<TrainingFit> TrainingFits(const TextbookModel& model, const TrainingOptions& options);

}  // namespace plimsoll
