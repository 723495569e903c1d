#include <cmath>
#include <string>

#include "engine/loop/generation_request.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

absl::Status CheckSampling(const SamplingOptions& sampling) {
  if (!std::isfinite(sampling.temperature) || sampling.temperature < 0) {
    return BadField("temperature", std::to_string(sampling.temperature), "a finite number >= 0");
  }
  if (sampling.top_k < 0) return BadField("top_k", sampling.top_k, "0 (all) or more");
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return BadField("top_p", std::to_string(sampling.top_p), "a number in (0, 1]");
  }
  return absl::OkStatus();
}

absl::Status CheckTokens(const GenerationRequest& request, const ModelConfig& model) {
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    const int32_t token = request.prompt[i];
    if (token >= 0 && token < model.vocab_size) continue;
    return BadField("prompt[" + std::to_string(i) + "]", token,
                    "a token in [0, " + std::to_string(model.vocab_size) + ")");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRequest(const GenerationRequest& request, const ModelConfig& model) {
  if (request.prompt.empty()) return absl::InvalidArgumentError("prompt: want at least one token");
  const int64_t context = model.max_context.value();
  const int64_t prompt = std::ssize(request.prompt);
  if (prompt >= context) {
    return BadField("prompt tokens", prompt,
                    "less than the model's context of " + std::to_string(context));
  }
  const int64_t new_tokens = request.max_new_tokens.value();
  if (new_tokens < 1 || new_tokens > context - prompt) {
    return BadField(
        "max_new_tokens", new_tokens,
        "1 to " + std::to_string(context - prompt) + ", what the model's context leaves");
  }
  PLIMSOLL_RETURN_IF_ERROR(CheckTokens(request, model));
  return CheckSampling(request.sampling);
}

absl::Status CheckWithin(const GenerationRequest& request, const Reservation& reservation) {
  const int64_t prompt = std::ssize(request.prompt);
  if (prompt > reservation.prompt_tokens.value()) {
    return BadField("prompt tokens", prompt,
                    "at most prompt_tokens=" + std::to_string(reservation.prompt_tokens.value()) +
                        " of reservation " + reservation.id);
  }
  const Tokens room = reservation.prompt_tokens + reservation.max_new_tokens;
  const int64_t left = room.value() - prompt;
  if (request.max_new_tokens.value() > left) {
    return BadField("max_new_tokens", request.max_new_tokens.value(),
                    "at most " + std::to_string(left) + ", what the prompt leaves of reservation " +
                        reservation.id);
  }
  return absl::OkStatus();
}

absl::Status CheckBeyond(const GenerationRequest& request, Tokens found,
                         const Reservation& reservation) {
  const int64_t prompt = std::ssize(request.prompt);
  if (prompt > found.value()) return absl::OkStatus();
  return BadField("prompt tokens", prompt,
                  "more than the " + std::to_string(found.value()) +
                      " that the prefix_hashes of reservation " + reservation.id + " found");
}

bool HasFullBlocksOf(const GenerationRequest& request, const Reservation& reservation,
                     Tokens block_tokens) {
  return Tokens(std::ssize(request.prompt)) / block_tokens >=
         reservation.prompt_tokens / block_tokens;
}

}  // namespace plimsoll
