// Requests and answers of admission, to and from their structures in C.
//
// Threads: pure. Cost: O(size). Errors: InvalidArgument naming the field.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/admission/reservation.h"
#include "kvcache/c/plimsoll_base.h"

namespace plimsoll::c_interface {

// Counts of tokens are in [`least`, 2^40]: what has more is no unit yet.
absl::StatusOr<Tokens> TokensFrom(std::string_view field, int64_t n, int64_t least);
absl::StatusOr<Duration> DurationFrom(std::string_view field, int64_t ns);
absl::StatusOr<ReservationRequest> RequestFrom(const plimsoll_request* request);

plimsoll_answer AnswerOf(const Reservation& reservation, Instant now);
plimsoll_answer AnswerOf(const Answer& answer, Instant now);

}  // namespace plimsoll::c_interface
