// The limits of what an inference plan may be asked.
//
// Threads: pure. Cost: O(layers + tensors). Errors: InvalidArgument naming the field.
#pragma once

#include "absl/status/status.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/parallel_split.h"

namespace plimsoll {

ParallelSplit SplitOf(const InferenceOptions& options);
// How the draft is spread: over the tensor-parallel GPUs of the last stage, experts and all.
ParallelSplit DraftSplitOf(const InferenceOptions& options);

// Ranges, a split that divides the model and its draft, and types that are known.
absl::Status CheckPlanOptions(const ModelConfig& model, const InferenceOptions& options);

}  // namespace plimsoll
