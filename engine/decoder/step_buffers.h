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
  float* gate;      // [rows, intermediate], of the widest MLP or expert
  float* up;        // the same
  float* last;      // [logit_rows, hidden]
  float* logits;    // [logit_rows, vocab]
  // Of a mixture of experts; empty without one.
  float* router;    // [rows, experts]
  float* shared;    // [rows]
  float* shares;    // [rows, choices]
  float* gathered;  // [rows, hidden]
  float* mixed;     // [rows, hidden]

  int32_t* ids;     // [rows]
  int32_t* picked;  // [logit_rows]: which rows
  int32_t* chosen;  // [rows, choices], of a mixture
  int32_t* routed;  // [rows], of a mixture

  Slab slab;  // that holds them all
};

// The experts that each row uses, the shared one included.
int64_t ChoicesOf(const Mixture& mixture);

// What they occupy together.
Bytes StepBufferBytes(const ModelConfig& model, int64_t rows, int64_t logit_rows);

absl::StatusOr<StepBuffers> StepBuffersFor(const ModelConfig& model, int64_t rows,
                                           int64_t logit_rows);

}  // namespace plimsoll
