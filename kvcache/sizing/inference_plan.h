// The inference plan: what fits in a device's memory, term by term.
//
//   budget = floor(device_bytes * utilization)
//   budget = weights + draft + io + activations + runtime + margin + kv_pool + unused   (exactly)
//   kv_pool = blocks * block_bytes;  0 <= unused < block_bytes
//
// io is input, output and logits; activations include attention's workspace, the sampler's and the
// slice that quantised weights are dequantised into; runtime includes what GPUs exchange. Each term
// carries its formula with the numbers put in (buffer_bytes.h).
//
// Spread over GPUs (parallel_split.h), `model` is still the whole model, and memory, capacity and
// formulas are those of one GPU: of the stage with the fewest blocks, which is what the pipeline
// can use; where a stage does not fit, of the one that misses by most. `stages` has a row for each.
// Sequences and contexts are the most that every stage has room for. Where experts are spread over
// more GPUs than share a layer, the pool is that of one of `replicas` which serve side by side.
//
// A draft model is spread like the model, on the last stage. Its weights, and for every block room
// for the same tokens in the draft, are draft_bytes, so that with it 0 <= unused < block_bytes +
// draft_block_bytes. Each sequence is `lookahead_tokens` longer than its context.
//
// The pool is one group: a block has room in every layer, windows or not, so sequences of a context
// are blocks / BlocksForSequence(context). The figures per token tell windows apart, and
// `sequences_grouped` says what a pool would hold that keeps of layers with a window only that.
// What recurrent layers keep of a sequence comes out of the pool too, and a prefix that all
// sequences share is in it once: pool_capacity.h has the rule.
//
// A model of recurrent layers only keeps nothing per token: a block is one sequence's state,
// however long the sequence is.
//
// Threads: pure. Cost: O(stages x (layers + tensors)). Errors: InvalidArgument naming the field. A
// model that does not fit is no error: the plan then has a shortfall and no blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/weight_format.h"

namespace plimsoll {

struct InferenceOptions {
  Bytes device_bytes;         // > 0; the whole device
  double utilization = 0.92;  // in (0, 1]
  Bytes margin = Bytes(0);
  std::optional<WeightFormat> weights = std::nullopt;  // default: as the checkpoint stores them
  std::optional<ElementType> kv = std::nullopt;        // default: fp16 for fp16 models, else bf16
  Tokens block_tokens = Tokens(16);
  Tokens max_batched_tokens = Tokens(8192);  // b * s: tokens of one step
  int64_t max_sequences = 256;               // rows of logits
  Bytes runtime = Bytes(0);                  // context, library workspaces, graphs
  std::vector<Tokens> contexts = {};         // for max_sequences; default: a doubling ladder
  std::string runtime_formula = "as given";  // where `runtime` comes from
  // Deployment; limits in parallel_split.h.
  int64_t tensor_parallel = 1;
  int64_t pipeline_parallel = 1;
  int64_t expert_parallel = 1;
  const ModelConfig* draft = nullptr;  // for speculative decoding; outlives the call
  Tokens lookahead_tokens = Tokens(0);
  Tokens shared_prefix = Tokens(0);  // first tokens that all sequences have in common
  bool flash_attention = true;
  bool decompress_latent = false;  // keep K and V of latent attention, not the latent
  // How finely a decode step's attention is cut to keep a GPU busy; 0: not at all, as on a CPU.
  int64_t attention_pieces = 256;
};

// Limits of the options, so that no sum of terms leaves 64 bits. Sizes: kMaxBytes.
inline constexpr int64_t kMaxBatchedTokens = int64_t{1} << 24;
inline constexpr int64_t kMaxPlannedSequences = int64_t{1} << 24;
inline constexpr int64_t kMaxLookahead = 1024;
inline constexpr int64_t kMaxAttentionPieces = int64_t{1} << 20;

struct PlanTerm {
  std::string term;     // "weights", "kv", "input", "output", "logits", "activations", "runtime"
  std::string formula;  // "8030261248 parameters x 2 bytes"
  Bytes bytes;
};

struct ContextCapacity {
  Tokens context;
  int64_t sequences;
  int64_t sequences_grouped = 0;  // where layers with a window keep only that; else the same
};

// One stage of a pipeline: what one GPU of it holds.
struct StagePlan {
  int64_t first_layer, layers;
  Bytes weights_bytes, kv_bytes_per_token;
  Blocks blocks;  // that it has room for; where it keeps no K and V, the plan's
  Bytes shortfall_bytes;
};

struct InferencePlan {
  // model
  std::string name, architecture;
  int64_t parameters, parameters_stored, parameters_active, layers;
  Bytes kv_bytes_per_token, kv_bytes_per_token_long, window_bytes_per_sequence,
      state_bytes_per_sequence;
  ElementType weights_type, kv_type;
  std::string weights_format;     // the type's name, or the storage's: "fp8-block"
  std::vector<LeftOut> left_out;  // of the checkpoint, by this plan
  // memory
  double utilization;
  Bytes device_bytes, budget_bytes, weights_bytes, draft_bytes, io_bytes, activation_bytes,
      runtime_bytes, margin_bytes, kv_pool_bytes, unused_bytes;
  // By how much the budget misses what the terms, one block and one sequence's state need; zero
  // when they fit. Otherwise there are no blocks, and when even the terms do not fit, they add up
  // to more than the budget and unused is zero.
  Bytes shortfall_bytes;
  // What the weights take where kernels lay them out anew; at most weights_bytes.
  Bytes weights_resident_bytes;
  // capacity
  Tokens block_tokens;
  Bytes block_bytes, draft_block_bytes;
  Bytes sequence_state_bytes;  // of one sequence on this GPU, those of the draft included
  Blocks blocks;
  Tokens tokens, longest_context;
  std::vector<ContextCapacity> max_sequences;
  std::vector<PlanTerm> formulas;
  // deployment
  int64_t tensor_parallel, pipeline_parallel, expert_parallel, gpus, replicas;
  int64_t stage;  // the one whose memory this is, from 0
  std::vector<StagePlan> stages;
  std::string draft_name;  // empty: none
  Tokens lookahead_tokens, shared_prefix;

  bool fits() const { return shortfall_bytes == Bytes(0); }
};

// The type that K and V have when nobody says: the one that the checkpoint has scales for, which
// engines then use by themselves; else fp16 for fp16 models and bf16 for all others.
ElementType DefaultKvType(const ModelConfig& model);

// The smallest device whose budget, at `utilization` in (0, 1], is `budget` or more.
Bytes DeviceFor(Bytes budget, double utilization);

// A model that does not fit is a plan with a shortfall, not an error. InvalidArgument for an option
// out of range, a split that does not divide the model, and a checkpoint that is stored quantised
// in a way that is not known where `weights` does not say how to count it.
absl::StatusOr<InferencePlan> PlanInference(const ModelConfig& model,
                                            const InferenceOptions& options);

}  // namespace plimsoll
