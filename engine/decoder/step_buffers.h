// The memory of the device that one forward pass writes to, and the table of angles that it reads;
// taken once and used by every pass.
//
// Threads: none. Cost: nothing after creation. Errors: those of the device.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/device/backend.h"
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
  float* gate;      // [rows, intermediate], or of a mixture [slots, the widest expert]
  float* up;        // the same
  float* last;      // [logit_rows, hidden]
  float* logits;    // [logit_rows, vocab]
  // Of a mixture of experts; empty without one. Slots are rows, and rows x choices on CUDA.
  float* router;    // [rows, experts]
  float* shared;    // [rows]
  float* shares;    // [rows, choices]
  float* gathered;  // [slots, hidden], on CUDA in 16 bits
  float* mixed;     // [slots, hidden]

  // Of a device whose products read 16 bits: what the next one will read, as large as any.
  float* narrow;
  // Of attention that is cut up: partial results.
  float* partial_sums;
  float* partial_weights;

  float* cos;  // [positions, rotated_dims / 2]
  float* sin;

  int32_t* chosen;  // [rows, choices], of a mixture
  int32_t* routed;  // as ExpertScratch::picked, of a mixture

  DeviceSlab slab;  // that holds them all
};

struct StepShape {
  int64_t rows;
  int64_t logit_rows;
  int64_t positions;
  bool narrows = false;
  int64_t partial_sums = 0;  // numbers
  int64_t partial_weights = 0;
};

// The experts that each row uses, the shared one included.
int64_t ChoicesOf(const Mixture& mixture);

// The experts of a layer, likewise.
int64_t ExpertsOf(const Mixture& mixture);

// What they occupy together.
Bytes StepBufferBytes(const ModelConfig& model, const StepShape& shape);

absl::StatusOr<StepBuffers> StepBuffersFor(const ModelConfig& model, const StepShape& shape,
                                           const DeviceBackend& device);

}  // namespace plimsoll
