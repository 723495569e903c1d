// What the forward pass saves for the backward pass, term by term, on one GPU.
//
// s tokens of a sequence, b sequences, h hidden, a heads, k kv heads, d head dim, f FFN width, t
// tensor-parallel GPUs, L layers, V vocabulary.
//
// Classic (16 bits, GELU, dropout, f = 4h, scores kept; Korthikanti et al., 2022), of a layer:
//
//   none                                       sbh(34 + 5as/h)
//   tensor parallel                            sbh(10 + 24/t + 5as/(ht))
//   tensor and sequence parallel               sbh(34/t + 5as/(ht))
//   tensor parallel, selective recompute       sbh(10 + 24/t)
//   tensor and sequence parallel, selective    sbh(34/t)
//   full recompute                             2sbh
//
// and nothing outside the layers. Each is the sum of the thirteen tensors that the plan lists.
//
// Architecture (flash-style attention, no dropout; e bytes of an element: 2, or 4 for full-fp32),
// of a layer: e x (the widths its norms see, 2h of projection inputs, q, k, v, attention output,
// and twice what the first matrices of its FFN give) and 4a of log-sum-exp. For a gated FFN and two
// norms at e = 2 that is sb(8h + 4ad + 4kd + 8f + 4a). A layer of experts also saves each token
// once for every expert it goes to, before and after, and the router's E scores in fp32. Outside
// the layers: inputs of the last norm and of the head, logits in fp32. Adapters add their r values.
// Selective recompute drops the log-sum-exp, all that flash attention left to drop; full recompute
// keeps each layer's input, and the tensors of the one layer that is being recomputed.
//
// A pipeline stage holds the tensors of its layers once for each microbatch in flight
// (training_stage.h), and those outside the layers, which only the last stage has, once.
//
// Threads: pure. Cost: O(layers + tensors). Errors: InvalidArgument beyond kMaxBytes.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/training_options.h"
#include "kvcache/sizing/training_stage.h"
#include "kvcache/sizing/training_term.h"

namespace plimsoll {

// The layers that have matrices of attention, ascending; in their order stand model.attention.
std::vector<int64_t> AttendingLayers(const ModelConfig& model);

// All that the classic formula asks of a model.
struct ClassicShape {
  int64_t hidden;
  int64_t layers;
  int64_t heads;  // over all layers
};
ClassicShape ClassicShapeOf(const ModelConfig& model);

absl::StatusOr<std::vector<TrainingTerm>> ClassicActivations(const ClassicShape& shape,
                                                             const TrainingOptions& options,
                                                             const TrainingStage& stage = {});

// Adapted matrices and rank count where the method trains adapters; the options must have been
// planned with, so that their targets exist.
absl::StatusOr<std::vector<TrainingTerm>> ArchitectureActivations(const ModelConfig& model,
                                                                  const TrainingOptions& options,
                                                                  const TrainingStage& stage = {});

}  // namespace plimsoll
