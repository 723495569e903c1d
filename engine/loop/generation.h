// One request on its way through the loop: what of it is computed and what comes next.
//
// Positions [0, computed) have their K and V in the cache. The next tokens to compute are the rest
// of the prompt, then each new token once it is chosen. One that is suspended has nothing in the
// cache; when it resumes it gets back what swap space kept, or computes all its tokens again.
//
// Threads: the stepping thread owns it; `cancelled` may be set from any. Errors: none.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/loop/generation_loop.h"
#include "engine/loop/step_plan.h"
#include "engine/ops/sampler.h"
#include "kvcache/base/ids.h"

namespace plimsoll {

struct Generation {
  Generation(int64_t its_ticket, GenerationRequest its_request,
             std::shared_ptr<GenerationListener> its_listener, SequenceId its_sequence)
      : ticket(its_ticket),
        prompt_size(std::ssize(its_request.prompt)),
        tokens(std::move(its_request.prompt)),
        request(std::move(its_request)),
        listener(std::move(its_listener)),
        sequence(its_sequence) {
    tokens.reserve(tokens.size() + static_cast<size_t>(request.max_new_tokens.value()));
  }

  // Tokens known and not yet computed.
  std::span<const int32_t> Pending() const {
    return std::span(tokens).subspan(static_cast<size_t>(computed));
  }
  int64_t generated() const { return std::ssize(tokens) - prompt_size; }
  bool decoding() const { return generated() > 0 && computed == std::ssize(tokens) - 1; }
  SequenceProgress Progress() const {
    return {std::ssize(Pending()), decoding(), request.all_logits};
  }

  // How the token behind the pending ones is drawn; none where the last one is there already.
  std::optional<Draw> NextDraw() const {
    if (reason) return std::nullopt;
    return DrawOf({.temperature = request.sampling.temperature,
                   .top_k = request.sampling.top_k,
                   .top_p = request.sampling.top_p,
                   .seed = request.sampling.seed,
                   .step = static_cast<uint64_t>(generated())});
  }
  void Fail(const absl::Status& why) {
    status = why;
    reason = FinishReason::kCancelled;
    over = true;
  }

  const int64_t ticket;
  const int64_t prompt_size;
  std::vector<int32_t> tokens;      // the prompt, then those chosen
  const GenerationRequest request;  // without its prompt
  const std::shared_ptr<GenerationListener> listener;
  const SequenceId sequence;
  std::atomic<bool> cancelled = false;

  DrawnToken drawn;  // the last token
  int64_t computed = 0;
  int64_t reached = 0;  // the most that was ever computed
  int64_t stops = 0;    // times it was suspended
  bool named = false;   // its request's prefix_hashes are those of its prompt
  bool suspended = false;
  std::optional<FinishReason> reason;  // set once the last token is chosen
  bool over = false;                   // nothing of it is left to compute
  absl::Status status;                 // bad if the step itself failed
};

}  // namespace plimsoll
