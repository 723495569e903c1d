// Continuous batching: which sequences step, and what becomes of their tokens.
//
// Each step takes one row for every sequence that decodes and fills what is left of
// `max_batched_tokens` with the next chunks of prompts, in order of arrival. Blocks are planned and
// committed under the admission lock; the forward pass runs without it. K and V are read and
// written only through block tables.
//
// Under a policy that promises less than the whole, a sequence for whose next token there is no
// room is suspended, or another is in its place (see step_room.h), and later computes its tokens
// again or gets them back from swap space; its listener notices nothing but time.
//
// Where the cache shares prefixes, a sequence goes on after the blocks that its reservation found,
// and its own are named by its reservation's prefix_hashes when it ends.
//
// Invariants: a sequence never takes more blocks than its reservation was promised; a step
// allocates nothing, on host or device, but tables of blocks that grow under a policy that promises
// less, and lists of what is swapped; a token is delivered once, in order, before OnFinished, and
// the blocks are free again before OnFinished is called.
//
// A step that fails ends those in it with what the device said. After kMostFailures in a row the
// device is given up: all others end too, and nobody is taken in any more.
//
// Threads: Submit, Cancel, BetweenSteps, Stats and Failure from any thread; Step and Run from one.
// Listeners are called from the thread that steps, and must not block. Cost: a step is one forward
// pass. Errors: Submit reports what is wrong with the request.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/decoder/decoder.h"
#include "engine/loop/swap_space.h"
#include "kvcache/admission/shared_admission.h"
#include "kvcache/admission/victim.h"

namespace plimsoll {

struct SamplingOptions {
  double temperature = 0.0;  // >= 0; 0 is greedy
  int64_t top_k = 0;         // >= 0; 0 means all
  double top_p = 1.0;        // in (0, 1]
  uint64_t seed = 0;         // the same seed and tokens give the same choice
};

struct GenerationRequest {
  std::string reservation_id;
  std::vector<int32_t> prompt;  // not empty; at most the reservation's prompt_tokens
  Tokens max_new_tokens;        // > 0; prompt + new within the reservation
  SamplingOptions sampling = {};
  bool stop_at_eos = true;  // where the model has an end-of-sequence token; it is delivered too
  // OnLogits hears every position that is computed, so none of a prefix that was there, and the
  // last new token's too, which costs one row more.
  bool all_logits = false;
};

enum class FinishReason : uint8_t { kLength, kStop, kCancelled };

class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  virtual void OnToken(int32_t token) = 0;
  // For requests with all_logits: one row of [vocab], valid during the call, in order of position
  // and before the token that it leads to.
  virtual void OnLogits(int64_t /*position*/, std::span<const float> /*logits*/) {}
  // The last call. A bad status only if the step itself failed.
  virtual void OnFinished(FinishReason reason, const absl::Status& status) = 0;
};

struct LoopStats {
  int64_t steps = 0;
  int64_t failed_steps = 0;   // of these, that the device failed in
  int64_t prompt_tokens = 0;  // prefilled
  int64_t generated_tokens = 0;
  int64_t preempted = 0;          // times that a sequence was suspended
  int64_t recomputed_tokens = 0;  // computed again after that
  int64_t swapped_out = 0;        // of those times, that what it held was kept
  int64_t swapped_in = 0;         // and given back
  SwapCounts swap = {};           // blocks of swap space
  int64_t running = 0;            // sequences now
  int64_t peak_running = 0;
  Duration busy = Duration::zero();  // time spent in steps
};

struct LoopOptions {
  Tokens max_batched_tokens = Tokens(512);    // rows of one step
  int64_t max_sequences = 256;                // that run at once; more wait inside the loop
  VictimRule victim = VictimRule::kCheapest;  // where there is no room
};

class GenerationLoop {
 public:
  // Of steps, one after the other: one may be an accident of what was in it.
  static constexpr int kMostFailures = 3;

  // `decoder`, `admission` and `swap` outlive the loop; no `swap`: who stops computes again.
  GenerationLoop(Decoder& decoder, SharedAdmission& admission, const LoopOptions& options,
                 SwapSpace* swap = nullptr);
  ~GenerationLoop();

  // Takes over the reservation: it ends when the generation does, and whoever releases it before
  // ends the generation. Returns a ticket for Cancel. InvalidArgument naming the field; what
  // admission says of the reservation; Unavailable once Stop was called or the device given up.
  absl::StatusOr<int64_t> Submit(GenerationRequest request,
                                 std::shared_ptr<GenerationListener> listener);
  // Ends a generation at the next step boundary; harmless when it is over.
  void Cancel(int64_t ticket);

  // Runs `work` on the thread that steps, before its next step, when nobody reads or writes blocks;
  // false, and never, once Stop was called.
  bool BetweenSteps(std::function<void()> work);

  // Runs one step; false when there was nothing that it could do.
  bool Step();
  // Steps until Stop, sleeping while there is nothing to do; then cancels what still runs.
  void Run();
  void Stop();  // any thread

  LoopStats Stats() const;
  // Unavailable, with what the device said last, once it is given up; OK before.
  absl::Status Failure() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
