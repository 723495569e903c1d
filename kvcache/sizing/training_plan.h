// The training plan: what one GPU, its host and its disk hold while a model is trained, and how
// many GPUs that takes.
//
//   total = weights + gradients + optimizer (master weights and moments) + activations + buffers
//
// The terms of each group add up to it; the formulas stand with their rules in training_states.h,
// training_activations.h and training_placement.h. All figures are per GPU, and where a pipeline
// has stages (training_stage.h), of a GPU of the stage that takes most.
//
// GPUs needed for a device: without ZeRO, the fewest whose memory together holds everything that
// one replica (or, with expert parallelism, one group of them) does; from stage 1 on, the fewest
// over which ZeRO splits it until each part fits. More GPUs never need more memory each.
//
// Threads: pure and reentrant. Cost: O(layers + tensors). Errors: InvalidArgument naming the field.
// Training that does not fit is no error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/training_options.h"
#include "kvcache/sizing/training_placement.h"
#include "kvcache/sizing/training_term.h"
#include "kvcache/sizing/training_textbook.h"

namespace plimsoll {

struct TrainingPlan {
  // model
  std::string name, architecture;
  int64_t parameters = 0;                                     // of the model, without adapters
  int64_t trained_parameters = 0;                             // the same, or those of the adapters
  std::optional<int64_t> textbook_parameters = std::nullopt;  // hV + L(12h^2 + 13h) + 2h
  int64_t layers = 0;
  // what was asked
  TrainingOptions options;
  ActivationFormula activation_formula = ActivationFormula::kArchitecture;
  double recompute_overhead = 0;  // operations added, as a share of a step's; training_compute.h
  int64_t stage = 0;              // of the pipeline, the one that all that follows is of
  // memory of one GPU
  Bytes weights_bytes, gradients_bytes, optimizer_bytes, activations_bytes, buffers_bytes,
      total_bytes;
  std::optional<OffloadedBytes> host, nvme;
  std::vector<TrainingTerm> formulas;
  // With a device: nullopt where no number of GPUs is enough, and the rule that was applied.
  std::optional<int64_t> gpus_needed = std::nullopt;
  std::string gpus_needed_rule = {};

  // Of optimizer_bytes, what the paged optimizer of qlora moves to the host when the GPU is short.
  // It counts as held, since every step needs all of it.
  Bytes pageable_bytes() const;
  // By how much the device is too small; zero without a device.
  Bytes shortfall_bytes() const;
  bool fits() const { return shortfall_bytes() == Bytes(0); }
};

absl::StatusOr<TrainingPlan> PlanTraining(const ModelConfig& model, const TrainingOptions& options);

// The textbook's answer, with the classic activations only.
absl::StatusOr<TrainingPlan> PlanTraining(const TextbookModel& model,
                                          const TrainingOptions& options);

}  // namespace plimsoll
