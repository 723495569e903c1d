// How many sequences really decode at once on the pool that was planned, and how fast.
//
// For each context the number of sequences doubles until the pool refuses one more, or until a step
// takes longer than the bound; then the most that keep the bound are searched for between the last
// two. Each level reserves, begins and steps its sequences through admission, pool and loop as a
// server does; their prompts are filled as filling_decoder.h says. Levels are measured on steps in
// which all of them decode, after one that is not counted, at the end of their context.
//
// A step reads every weight once (of the table of embeddings only a row) and the K and V of every
// sequence; the bound is these bytes over the device's memory bandwidth, measured in the same run.
//
// Threads: one. Cost: the prompt once per context, then the steps. Errors: InvalidArgument naming
// the argument; those of the engine.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine.h"

namespace plimsoll {

struct ConcurrencyOptions {
  EngineOptions engine;  // its loop's limits are replaced by what the contexts need
  std::vector<Tokens> contexts;
  std::optional<Duration> max_itl = std::nullopt;
  int64_t steps = 16;  // measured of each level, less where the context is short
};

// Some sequences, decoding together.
struct ConcurrencyLevel {
  int64_t sequences = 0;
  int64_t steps = 0;
  // Of a step, in which each of its sequences gets a token.
  Duration itl_p50 = Duration::zero(), itl_p99 = Duration::zero();
  double tokens_per_second = 0;  // over all of them
  Bytes bytes_per_step;
  Duration bound = Duration::zero();  // bytes over bandwidth

  // The bound as a share of the median step: 1 is as fast as memory allows.
  double ShareOfBound() const;
};

struct ConcurrencyRun {
  Tokens context;
  int64_t predicted = 0;   // by the plan of this pool
  int64_t reached = 0;     // that decoded together, within the latency asked for
  bool pool_full = false;  // one more was refused
  Tokens prompt;
  Duration prefill = Duration::zero();   // of one prompt
  std::vector<ConcurrencyLevel> levels;  // by rising sequences

  // Whether the plan said what was then seen. Where latency was the limit it said enough.
  bool AsPredicted() const;
};

struct ConcurrencyReport {
  std::string model, device;
  ElementType kv_type = ElementType::kBf16;
  Blocks blocks, planned_blocks;  // that the pool has; that the plan gave it
  Tokens block_tokens;
  Bytes block_bytes, weights_bytes;
  std::optional<Duration> max_itl;
  double bytes_per_second = 0;  // this machine's, reading
  std::vector<ConcurrencyRun> runs;
};

absl::StatusOr<ConcurrencyReport> MeasureConcurrency(const ConcurrencyOptions& options);

}  // namespace plimsoll
