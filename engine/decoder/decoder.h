// One forward pass of a model of LLaMA's kind over block tables.
//
// A batch is rows; each row is one token of one sequence at one position. The pass writes the K and
// V of every row into its sequence's blocks, attends over positions [0, position], and returns the
// logits of the rows asked for. Sequences may be at different points, prompts may come in chunks.
//
// Tokens can be drawn where the logits are: then a pass gives back four bytes a sequence and no
// logits, and the next pass finds the tokens on the device. On a device that queues its operations,
// passes in which every sequence decodes one token are captured once and launched as a whole.
//
// Activations are fp32. Threads: one Forward at a time. Errors: Internal from a device.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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

// A token that a pass drew, and where the device keeps it until the end of the next pass.
struct DrawnToken {
  int32_t token = kNoToken;
  int64_t pass = -1;  // none: the device does not have it
  int32_t row = 0;
};

// Consecutive tokens of one sequence, at positions first_position + i.
struct BatchEntry {
  std::span<const int32_t> tokens;
  int64_t first_position;
  std::span<const BlockId> table;  // covers first_position + tokens.size() positions
  bool all_logits = false;         // of every row; otherwise of the last one
  bool want_logits = true;         // false for a chunk that is not the prompt's last
  // How the token after the last one is drawn; needs its logits.
  std::optional<Draw> draw = std::nullopt;
  DrawnToken drawn = {};  // where the only token is, if the pass before drew it
};

struct Drawn {
  std::span<const DrawnToken> tokens;  // of entries with a draw, in order of the batch
  // As Forward's, but only the rows of entries with all_logits are there.
  std::span<const float> logits;
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
    int64_t max_graph_rows = 0;  // of a pass that is captured; 0: none is
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

  // What graph_bytes() is expected to be.
  static Bytes GraphBytesFor(const ModelConfig& model, const DeviceBackend& device,
                             const Options& options);

  // Logits of the rows asked for, in order of the batch: row-major [rows, vocab]. Valid until the
  // next call.
  virtual absl::StatusOr<std::span<const float>> Forward(std::span<const BatchEntry> batch) = 0;
  // The same, and a token for each entry with a draw. Valid until the next call.
  virtual absl::StatusOr<Drawn> ForwardAndDraw(std::span<const BatchEntry> batch) = 0;

  virtual const ModelConfig& model() const = 0;
  virtual const Options& options() const = 0;
  // Activations, logits, the rotary table and a pass's inputs: all of the device that was allocated
  // at creation.
  virtual Bytes buffer_bytes() const = 0;
  // What captured passes took of the device beside that.
  virtual Bytes graph_bytes() const = 0;
};

}  // namespace plimsoll
