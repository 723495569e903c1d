// The curves of a training plan: what its memory comes to when one setting changes and all others
// stay.
//
//   over the sequence, over the batch   what is saved for backward, for each way to recompute, from
//                                       an eighth of what was planned to eight times as much
//   over ZeRO's stages                  states and buffers of one GPU
//
// Every point is a whole plan's, so that a curve and the plan cannot disagree. Points that the plan
// would refuse (more than kMaxBytes, more tokens than may be planned) are left out. Where the plan
// has one replica, which ZeRO cannot split, its stages are those of kReplicasOfZeroCurve.
//
// Threads: pure and reentrant. Cost: about fifty plans. Errors: those of PlanTraining.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/training_options.h"
#include "kvcache/sizing/training_textbook.h"

namespace plimsoll {

inline constexpr int64_t kReplicasOfZeroCurve = 8;

struct ActivationPoint {
  int64_t at;  // tokens of a sequence, or sequences of a batch
  Bytes none, selective, full;
};

struct ZeroPoint {
  int stage;
  Bytes weights, gradients, optimizer, buffers;

  Bytes total() const { return weights + gradients + optimizer + buffers; }
};

struct TrainingCurves {
  std::vector<ActivationPoint> over_sequence;  // ascending, as is over_batch
  std::vector<ActivationPoint> over_batch;
  int64_t zero_replicas = 1;
  std::vector<ZeroPoint> over_zero;  // stages 0 to 3
};

absl::StatusOr<TrainingCurves> TrainingCurvesOf(const ModelConfig& model,
                                                const TrainingOptions& options);
absl::StatusOr<TrainingCurves> TrainingCurvesOf(const TextbookModel& model,
                                                const TrainingOptions& options);

}  // namespace plimsoll
