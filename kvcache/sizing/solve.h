// The inverse questions: not what a setting holds, but which setting holds what is wanted.
//
// "Holds" is one predicate for all of them: the plan fits, and the pool has room for so many
// sequences of so many tokens. (The most sequences at a context need no search: that is
// InferencePlan::max_sequences.)
//
//   context   A longer sequence takes no fewer blocks, but where all sequences look ahead and share
//   a
//             prefix it can take fewer of its own: its last token moves on to a new block, and the
//             full one before is shared. That happens only from n x block to n x block + 1. So from
//             one such first token to the next, and within a block, the predicate turns from true
//             to false at most once, and halving each range finds the longest.
//   types     Every candidate is planned, widest first, and the first that holds is the answer. No
//             search: a narrower type can take more in one place (the slice that weights are
//             dequantised into) than it saves elsewhere.
//   GPUs      Every count is planned from the fewest over which the weights and what the load keeps
//             could be spread, and at each count every split into tensor and pipeline parallelism.
//             No search: heads divide over 8 GPUs that do not over 6.
//
// Threads: pure. Cost: a plan for each step of a search or candidate. Errors: those of
// PlanInference, InvalidArgument where `wanted` is out of range.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

struct WantedLoad {
  int64_t sequences = 1;       // 1 to kMaxPlannedSequences, all at once
  Tokens context = Tokens(1);  // of each; 1 to kMaxTokens
};

// How many sequences of `context` the plan of these options holds, on all replicas together; 0
// where it does not fit.
absl::StatusOr<int64_t> SequencesHeld(const ModelConfig& model, const InferenceOptions& options,
                                      Tokens context);

// What `load` takes of a pool cut like the plan's, fit or not: the shared prefix once, then each
// sequence's own blocks and state. kMaxBytes where it is more.
Bytes PoolBytesOf(const InferencePlan& plan, const WantedLoad& load);

// The longest context that `sequences` can have all at once, at most the model's own; 0 where not
// even one token each fits.
absl::StatusOr<Tokens> LongestContext(const ModelConfig& model, const InferenceOptions& options,
                                      int64_t sequences);

// One candidate of a search over types.
inline constexpr std::string_view kAsStored = "as stored";  // weights in the checkpoint's own type
struct TypeTried {
  std::string type;   // as --weights or --kv takes it, or kAsStored
  Bytes bytes;        // of the weights, or of K and V of one token
  int64_t sequences;  // held at the wanted context
  bool holds;
};

// All candidates, by falling bytes; the first that holds is the widest.
absl::StatusOr<std::vector<TypeTried>> TryWeights(const ModelConfig& model,
                                                  const InferenceOptions& options,
                                                  const WantedLoad& wanted);
absl::StatusOr<std::vector<TypeTried>> TryKv(const ModelConfig& model,
                                             const InferenceOptions& options,
                                             const WantedLoad& wanted);

// A way to spread a model over GPUs, and what the narrowest of them then holds.
struct GpuSplit {
  int64_t gpus;  // pipeline x the larger of tensor and the options' expert parallelism
  int64_t tensor_parallel;
  int64_t pipeline_parallel;
  int64_t sequences;  // at the wanted context
};

inline constexpr int64_t kMostGpus = 512;

// The best split of each count of GPUs, from the fewest over which the weights and what is wanted
// could be spread up to the fewest that hold it, which comes last; counts that no split divides are
// left out. Of the splits of one count the one that holds most sequences is best, and among equals
// the one with most tensor parallelism. `holds` is false where not even kMostGpus are enough.
//
// With a `gpu`, each split has the runtime that is estimated for its layers and its count; without
// one, what the options say.
struct GpuSearch {
  std::vector<GpuSplit> best;
  bool holds;
};
absl::StatusOr<GpuSearch> FewestGpus(const ModelConfig& model, const InferenceOptions& options,
                                     const WantedLoad& wanted,
                                     const std::optional<GpuSpec>& gpu = std::nullopt,
                                     int64_t most_gpus = kMostGpus);

// `options` with the runtime that is estimated for `gpu` at the options' parallelism.
InferenceOptions WithRuntimeOf(const GpuSpec& gpu, const ModelConfig& model,
                               InferenceOptions options);

// The answer of FewestGpus for each GPU in the catalogue of which at most kMostOfOneKind hold what
// is wanted, by rising count and then by rising memory. The options' device and runtime are not
// looked at: they are each GPU's own.
struct GpuChoice {
  GpuSpec gpu;
  GpuSplit split;
};
inline constexpr int64_t kMostOfOneKind = 64;
absl::StatusOr<std::vector<GpuChoice>> GpusThatHold(const ModelConfig& model,
                                                    const InferenceOptions& options,
                                                    const WantedLoad& wanted);

}  // namespace plimsoll
