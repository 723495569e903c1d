// The inference plan: what fits in a device's memory, term by term.
//
//   budget = floor(device_bytes * utilization)
//   budget = weights + draft + io + activations + runtime + margin + kv_pool + unused   (exactly)
//   kv_pool = blocks * block_bytes;  0 <= unused < block_bytes
//
// All figures are per GPU. Each term carries its formula with the numbers put in.
//
// Threads: pure. Cost: O(layers + tensors). Errors: InvalidArgument naming the field. A model that
// does not fit is no error: the plan then has a shortfall and no blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

struct InferenceOptions {
  Bytes device_bytes;         // > 0; the whole device
  double utilization = 0.92;  // in (0, 1]
  Bytes margin = Bytes(0);
  std::optional<ElementType> weights;  // default: the checkpoint's type
  std::optional<ElementType> kv;       // default: fp16 for fp16 models, else bf16
  Tokens block_tokens = Tokens(16);
  Tokens max_batched_tokens = Tokens(8192);  // b * s: tokens of one step
  int64_t max_sequences = 256;               // rows of logits
  Bytes runtime = Bytes(0);                  // context, library workspaces, graphs
  std::vector<Tokens> contexts = {};         // for max_sequences; default: a doubling ladder
};

struct PlanTerm {
  std::string term;     // "weights", "kv", "input", "output", "logits", "activations", "runtime"
  std::string formula;  // "8030261248 parameters x 2 bytes"
  Bytes bytes;
};

struct ContextCapacity {
  Tokens context;
  int64_t sequences;
};

struct InferencePlan {
  // model
  std::string name, architecture;
  int64_t parameters, parameters_stored, parameters_active, layers;
  Bytes kv_bytes_per_token, kv_bytes_per_token_long, window_bytes_per_sequence,
      state_bytes_per_sequence;
  ElementType weights_type, kv_type;
  // memory
  Bytes device_bytes, budget_bytes, weights_bytes, draft_bytes, io_bytes, activation_bytes,
      runtime_bytes, margin_bytes, kv_pool_bytes, unused_bytes;
  Bytes shortfall_bytes;  // by how much the model misses; zero when at least one block fits
  // capacity
  Tokens block_tokens;
  Bytes block_bytes;
  Blocks blocks;
  Tokens tokens, longest_context;
  std::vector<ContextCapacity> max_sequences;
  std::vector<PlanTerm> formulas;

  bool fits() const { return shortfall_bytes == Bytes(0); }
};

// A model that does not fit is a plan with a shortfall, not an error.
absl::StatusOr<InferencePlan> PlanInference(const ModelConfig& model,
                                            const InferenceOptions& options);

}  // namespace plimsoll
