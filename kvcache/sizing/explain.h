// One figure of a plan, derived step by step: the formula in symbols, where each number in it comes
// from, and the result.
//
// Every term of the plan can be explained, and budget, margin, unused, blocks, tokens, context,
// sequences, and, where the model has them, window and state. The result is always the plan's own
// figure, and the last step ends in it.
//
// Threads: pure. Cost: one plan and some strings. Errors: those of PlanInference; InvalidArgument
// for an unknown term, listing those there are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

struct ExplainStep {
  std::string text;  // "T = 8192 tokens of one step"
  std::string
      source;  // "--max-batched-tokens", "hidden_size of the model"; empty: what stands above
};

struct Explanation {
  std::string term;
  std::string formula;  // in symbols: "T x d x e"
  std::vector<ExplainStep> steps;
  int64_t value;
  std::string unit;  // "bytes", "blocks", "tokens", "sequences"
};

// The terms that ExplainTerm knows for this plan.
std::vector<std::string> ExplainableTerms(const InferencePlan& plan);

absl::StatusOr<Explanation> ExplainTerm(const ModelConfig& model, const InferenceOptions& options,
                                        std::string_view term);

}  // namespace plimsoll
