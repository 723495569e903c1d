// The weights that one forward pass uses, found by name once.
//
// Threads: values. Cost: O(layers) look-ups. Errors: Unimplemented, naming the architecture, for a
// model whose layers this decoder does not know.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/ops/ops.h"
#include "engine/weights/weights.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

struct Projection {
  WeightView weight;
  WeightView bias;  // without data: none
};

struct LayerWeights {
  WeightView attention_norm, mlp_norm;
  WeightView q_norm, k_norm;  // over each head; without data: none
  Projection q, k, v, o;
  Projection gate, up, down;
};

struct DecoderWeights {
  WeightView embedding;
  WeightView final_norm;
  WeightView head;  // the embedding where they are tied
  std::vector<LayerWeights> layers;
};

absl::StatusOr<DecoderWeights> DecoderWeightsOf(const ModelConfig& model, const Weights& weights);

// OK, or Unimplemented with the reason in one line. Needs no weights.
absl::Status CheckDecodable(const ModelConfig& model);

}  // namespace plimsoll
