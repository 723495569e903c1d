// The weights that one forward pass uses, found by name once.
//
// Where a checkpoint keeps several matrices in one (q, k and v, or gate and up), each is a view of
// its rows.
//
// Threads: values. Cost: O(layers and experts) look-ups. Errors: Unimplemented, naming the
// architecture, for a model whose layers this decoder does not know.
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
  WeightView attention_out_norm, mlp_out_norm;  // behind each branch; without data: none
  WeightView q_norm, k_norm;                    // over each head; without data: none
  Projection q, k, v, o;
  Projection gate, up, down;           // without data where there are experts
  Projection router;                   // [experts, hidden]
  Projection shared_router;            // [1, hidden]; without data: no expert is shared
  std::vector<ExpertWeights> experts;  // a shared one comes last
};

struct DecoderWeights {
  WeightView embedding;
  float embedding_scale;
  WeightView final_norm;
  WeightView head;  // the embedding where they are tied
  std::vector<LayerWeights> layers;
};

absl::StatusOr<DecoderWeights> DecoderWeightsOf(const ModelConfig& model, const Weights& weights);

// OK, or Unimplemented with the reason in one line. Needs no weights.
absl::Status CheckDecodable(const ModelConfig& model);

// OK, or Unimplemented with what the model needs and the table lacks.
absl::Status CheckOps(const Ops& ops, const ModelConfig& model);

// Rows [first, first + count) of `matrix`, with their scales. A slice of an absent one is absent.
WeightView RowsOf(const WeightView& matrix, int64_t first, int64_t count);

}  // namespace plimsoll
