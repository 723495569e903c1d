// Saved tensors as lines of "so many bytes of a token", and what they come to for all tokens.
// Private to the training formulas.
//
// Threads: pure. Cost: O(lines). Errors: InvalidArgument beyond kMaxBytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/sizing/training_options.h"
#include "kvcache/sizing/training_stage.h"
#include "kvcache/sizing/training_term.h"

namespace plimsoll {

// What splits a line over the GPUs of a tensor-parallel group.
enum class SplitBy : uint8_t { kNothing, kSequenceParallel, kTensorParallel };

struct ActivationLine {
  std::string term;
  std::string formula;               // of one token: "2 x 5120 x 40 layers"
  std::optional<int64_t> per_token;  // bytes; nullopt beyond 64 bits
  SplitBy split;
  bool of_layers = true;  // held once for each microbatch that a pipeline has in flight
};

// bytes = ceil(batch x sequence x per_token x in flight / split), lines of zero left out.
absl::StatusOr<std::vector<TrainingTerm>> TermsOf(const std::vector<ActivationLine>& lines,
                                                  const TrainingOptions& options,
                                                  const TrainingStage& stage);

}  // namespace plimsoll
