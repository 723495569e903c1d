// One forward pass of a model of LLaMA's kind over block tables.
//
// A batch is rows; each row is one token of one sequence at one position. The pass writes the K and
// V of every row into its sequence's blocks, attends over positions [0, position], and returns the
// logits of the rows asked for. Sequences may be at different points, prompts may come in chunks.
//
// Activations are fp32. Threads: one Forward at a time. Errors: Internal from a device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/ops/ops.h"
#include "kvcache/base/ids.h"
#include "kvcache/model/model_config.h"
#include "kvcache/pool/arena.h"
#include "kvcache/sizing/cache_layout.h"

namespace plimsoll {

// Consecutive tokens of one sequence, at positions first_position + i.
struct BatchEntry {
  std::span<const int32_t> tokens;
  int64_t first_position;
  std::span<const BlockId> table;  // covers first_position + tokens.size() positions
  bool all_logits = false;         // of every row; otherwise of the last one
  bool want_logits = true;         // false for a chunk that is not the prompt's last
};

class DeviceBackend;  // engine/device/backend.h
class Weights;        // engine/weights/weights.h

// Where a decoder computes: a device, and operations that work on its memory.
struct Compute {
  const DeviceBackend& device;
  const Ops& ops;
};

class Decoder {
 public:
  struct Options {
    Tokens max_batched_tokens = Tokens(512);  // rows of one pass
    int64_t max_logit_rows = 256;
  };

  // `weights`, of the same device, `compute` and `arena` outlive the decoder; arena chunks that
  // hold the pool are committed. Unimplemented, naming the architecture, for a model it cannot run.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(const ModelConfig& model,
                                                         const Weights& weights,
                                                         const Compute& compute,
                                                         const CacheLayout& layout, Arena& arena,
                                                         const Options& options);
  virtual ~Decoder() = default;

  // What buffer_bytes() would be for sequences of up to `positions` tokens.
  static Bytes BufferBytesFor(const ModelConfig& model, const DeviceBackend& device,
                              const Options& options, Tokens positions, Tokens block_tokens);

  // Logits of the rows asked for, in order of the batch: row-major [rows, vocab]. Valid until the
  // next call.
  virtual absl::StatusOr<std::span<const float>> Forward(std::span<const BatchEntry> batch) = 0;

  virtual const ModelConfig& model() const = 0;
  virtual const Options& options() const = 0;
  // Activations, logits, the rotary table and a pass's inputs: all of the device that was allocated
  // at creation.
  virtual Bytes buffer_bytes() const = 0;
};

}  // namespace plimsoll
