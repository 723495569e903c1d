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

}  // namespace plimsoll
