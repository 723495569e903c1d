// The memory that one forward pass writes to, taken once and used by every pass.
//
// Threads: none. Cost: nothing after creation. Errors: ResourceExhausted.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/weights/slab.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// Row-major; `rows` is the most rows of one pass, `logit_rows` the most whose logits are asked for.
struct StepBuffers {
  float* x;         // [rows, hidden]: the residual stream
  float* normed;    // [rows, hidden]
  float* q;         // [rows, heads * head_dim]
  float* k;         // [rows, kv_heads * head_dim]
  float* v;         // [rows, kv_heads * head_dim]
  float* attended;  // [rows, heads * head_dim]
  float* gate;      // [rows, intermediate]
  float* up;        // [rows, intermediate]
  float* last;      // [logit_rows, hidden]
  float* logits;    // [logit_rows, vocab]
  int32_t* ids;     // [rows]
  int32_t* picked;  // [logit_rows]: which rows

  Slab slab;  // that holds them all
};

// What they occupy together.
Bytes StepBufferBytes(const ModelConfig& model, int64_t rows, int64_t logit_rows);

absl::StatusOr<StepBuffers> StepBuffersFor(const ModelConfig& model, int64_t rows,
                                           int64_t logit_rows);

}  // namespace plimsoll
