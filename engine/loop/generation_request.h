// What a generation request must satisfy before it enters the loop.
//
// Threads: pure. Cost: O(prompt). Errors: InvalidArgument naming the field.
#pragma once

#include "absl/status/status.h"
#include "engine/loop/generation_loop.h"
#include "kvcache/admission/reservation.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

absl::Status CheckRequest(const GenerationRequest& request, const ModelConfig& model);
// Whether the reservation has room for it.
absl::Status CheckWithin(const GenerationRequest& request, const Reservation& reservation);
// Whether there is something to compute after so many tokens that the reservation found.
absl::Status CheckBeyond(const GenerationRequest& request, Tokens found,
                         const Reservation& reservation);
// Whether its prompt has every full block of the prompt that was reserved for, so that each of the
// reservation's prefix_hashes stands for a block of it.
bool HasFullBlocksOf(const GenerationRequest& request, const Reservation& reservation,
                     Tokens block_tokens);

}  // namespace plimsoll
