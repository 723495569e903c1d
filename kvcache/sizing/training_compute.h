// What recomputing activations costs: its share of the arithmetic of a step.
//
// For one token of a sequence of s tokens, with P values in the matrices that it passes through, a
// forward pass is
//
//   2P + sum over attention layers of 2s x heads x (head_dim + value_dim)
//
// operations, and a backward pass twice as many. Full recompute does the layers' forward pass once
// more, which without the head is a little under a third of the three; selective recompute repeats
// the scores alone, the second summand. Both halves of a causal mask are counted, as is usual; what
// recurrent layers do beside their matrices is not.
//
// Threads: pure. Cost: O(layers + tensors). Errors: none; a ModelConfig is bounded. Shares, not
// sizes, so floats.
#pragma once

#include "kvcache/model/model_config.h"
#include "kvcache/sizing/training_options.h"
#include "kvcache/sizing/training_textbook.h"

namespace plimsoll {

// Operations added, as a share of those of a step that recomputes nothing: 0.32 for a third.
double RecomputeOverhead(const ModelConfig& model, const TrainingOptions& options);
double RecomputeOverhead(const TextbookModel& model, const TrainingOptions& options);

}  // namespace plimsoll
