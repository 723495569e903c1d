// The operations of one pass, in order. Which they are and what they are given depends on the
// model, on how many rows there are and on where the step's inputs begin, and on nothing that the
// inputs hold: a pass that was captured can be run again with others.
//
// Threads: one Queue at a time. Cost: that of the operations; nothing is allocated. Errors: those
// of the operations.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "engine/decoder/layer_weights.h"
#include "engine/decoder/step_parts.h"
#include "engine/ops/ops.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/cache_layout.h"

namespace plimsoll {

class ForwardPass {
 public:
  // All outlive the pass. `pool` is block 0.
  ForwardPass(const ModelConfig& model, const DecoderWeights& weights, const Ops& ops,
              const CacheLayout& layout, std::byte* pool, StepParts& parts);

  // Over the rows that the inputs hold, with the logits of `logit_rows` of them, from each of which
  // a token is drawn if asked for.
  absl::Status Queue(int64_t rows, int64_t logit_rows, bool draw);

 private:
  absl::Status Embed();
  absl::Status Attend(int64_t layer);
  absl::Status FeedForward(int64_t layer);
  absl::Status UseExperts(int64_t layer);
  absl::Status ComputeLogits();
  absl::Status DrawTokens();

  // What a product reads next: `narrowed_` where products read 16 bits.
  absl::Status NormForProduct(const float* x, int64_t rows, const WeightView& gain, float* out) {
    return Norm(x, rows, gain, out, /*accumulate=*/false, narrowed_);
  }
  absl::Status Norm(const float* x, int64_t rows, const WeightView& gain, float* out,
                    bool accumulate = false, const Narrowed& narrowed = {});
  absl::Status NormHeads(const WeightView& gain, int64_t heads, float* x);
  absl::Status Project(const Projection& projection, const float* x, bool accumulate, float* out);
  // Adds the projection to the residual stream, through a norm where there is one behind it.
  absl::Status AddBranch(const Projection& projection, const float* x, const WeightView& norm);
  PagedLayer Cache(int64_t layer) const;

  const ModelConfig& model_;
  const DecoderWeights& weights_;
  const Ops& ops_;
  const CacheLayout& layout_;
  std::byte* const pool_;
  StepParts& parts_;
  const Narrowed narrowed_;
  int64_t rows_ = 0;    // of this pass
  int64_t picked_ = 0;  // of them, those with logits
};

}  // namespace plimsoll
