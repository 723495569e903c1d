// What one GPU holds of a model that is spread over several.
//
//   tensor t     every layer is shared by t GPUs, as its tensors' dimensions divide (extent.h)
//   pipeline p   layers follow one another over p stages; what remains of layers / p goes one each
//                to the stages before the last, from the back. The first stage also has the
//                embedding, the last the final norm and the head, or the embedding again if tied.
//   expert e     the experts of a layer are dealt out whole, ceil(experts / e) to each of e GPUs.
//                Where e divides t, each is then cut over t / e GPUs like any matrix. Where t
//                divides e, attention and all else stand e / t times side by side, each replica
//                with sequences of its own.
//
//   gpus = p x max(t, e)
//
// A share is itself a ModelConfig, with the shapes, heads, layers, experts and states that are left
// to one GPU: what counts a model counts a share of it. Layers keep their numbers, and `layers`
// says how many the model has. Of hidden state, vocabulary of the logits and context every GPU has
// all. Tokens are taken to spread over the experts evenly.
//
// Threads: pure. Cost: O(layers + tensors). Errors: InvalidArgument naming the field, from
// CheckSplit; the other calls want a split that passed it.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

struct ParallelSplit {
  int64_t tensor = 1;
  int64_t pipeline = 1;
  int64_t expert = 1;

  int64_t gpus() const { return pipeline * (tensor > expert ? tensor : expert); }
  // Of everything but the experts.
  int64_t replicas() const { return expert > tensor ? expert / tensor : 1; }
};

inline constexpr int64_t kMaxParallel = int64_t{1} << 14;

absl::Status CheckSplit(const ModelConfig& model, const ParallelSplit& split);

struct StageLayers {
  int64_t first;
  int64_t count;

  bool has(int64_t layer) const { return layer >= first && layer < first + count; }
};
StageLayers LayersOfStage(int64_t layers, int64_t stages, int64_t stage);

struct ModelShare {
  ModelConfig model;  // without what files' headers say, which is of whole tensors
  // Of the whole model, which outlives the share: the tensors that those of `model` are part of.
  std::vector<const TensorSpec*> whole;
};

// Of the GPUs of `stage`, counted from 0, the one that holds most.
ModelShare CutShare(const ModelConfig& model, const ParallelSplit& split, int64_t stage);
// The same where only the share matters.
ModelConfig ShareOf(const ModelConfig& model, const ParallelSplit& split, int64_t stage);

}  // namespace plimsoll
