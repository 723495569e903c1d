// The terms of one GPU's budget, but for the pool: each with its formula.
//
// Threads: pure. Cost: O(layers + tensors). Errors: none; the options were checked.
#pragma once

#include <optional>
#include <vector>

#include "kvcache/model/model_config.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/parallel_split.h"

namespace plimsoll {

// What one GPU holds: its share of the model, and of the draft where there is one.
struct GpuShare {
  const ModelConfig& whole;
  ModelShare share;
  std::optional<ModelShare> draft;  // of options.draft
  bool is_last;                     // of the stages
};

struct GpuTerms {
  Bytes weights_resident, weights, draft, io, activations, runtime, margin;
  std::vector<PlanTerm> formulas;  // of all but the margin

  Bytes Sum() const { return weights + draft + io + activations + runtime + margin; }
};

GpuTerms TermsOf(const GpuShare& share, const InferenceOptions& options);

}  // namespace plimsoll
