// The part of a model that one pipeline stage holds, and how much of it waits for its backward
// pass.
//
// L layers in p stages of m chunks each: the model is cut into p x m chunks of floor or ceil of
// L / (pm) layers, and stage i holds chunks i, p + i, 2p + i and so on. The first stage also holds
// the embedding, the last one what follows the layers: last norm, head, and a second copy of an
// embedding that is its own head.
//
// One forward, one backward (Narayanan et al., 2021), with at least p microbatches in a step:
// before its first backward pass stage i has sent on
//
//   m = 1  p - i microbatches
//   m > 1  p(m + 1) - 2i - 1 chunks, interleaved
//
// so that the first stage keeps L x (1 + (p - 1) / (pm)) layers' worth, or L where m = 1, however
// deep the pipeline is.
//
// Threads: pure. Cost: a copy of the description of the model. Errors: InvalidArgument for more
// chunks than layers.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/training_options.h"
#include "kvcache/sizing/training_textbook.h"

namespace plimsoll {

// What activations depend on beside the layers themselves.
struct TrainingStage {
  int64_t index = 0;
  int64_t chunks_in_flight = 1;  // of `chunks`, that the stage's layers are cut into
  int64_t chunks = 1;
  bool last = true;
};

// `index` from 0 to pipeline_parallel - 1.
TrainingStage StageAt(int64_t index, const TrainingOptions& options);

// More chunks than layers, which are refused, would leave a stage without any.
absl::Status CheckStages(int64_t layers, const TrainingOptions& options);

// Layers of the stage, renumbered from 0, and what stands before or behind them.
ModelConfig PartOf(const ModelConfig& model, const TrainingStage& stage,
                   const TrainingOptions& options);
// The textbook splits its parameters evenly.
TextbookModel PartOf(const TextbookModel& model, const TrainingStage& stage,
                     const TrainingOptions& options);

}  // namespace plimsoll
