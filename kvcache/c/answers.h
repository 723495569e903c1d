// Requests and answers of admission, to and from their structures in C.
//
// Threads: pure. Cost: O(size). Errors: InvalidArgument naming the field.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/admission/reservation.h"
#include "kvcache/admission/snapshot.h"
#include "kvcache/c/plimsoll_base.h"

namespace plimsoll::c_interface {

// Counts of tokens are in [`least`, 2^40]: what has more is no unit yet.
absl::StatusOr<Tokens> TokensFrom(std::string_view field, int64_t n, int64_t least);
absl::StatusOr<Duration> DurationFrom(std::string_view field, int64_t ns);
absl::StatusOr<ReservationRequest> RequestFrom(const plimsoll_request* request);

plimsoll_answer AnswerOf(const Reservation& reservation, Instant now);
plimsoll_answer AnswerOf(const Answer& answer, Instant now);

// What a snapshot in process and a server's capacity have in common.
template <class Counts>
void SetCounts(const AdmissionSnapshot& snapshot, Counts& out) {
  out.revision = snapshot.revision;
  out.headroom_blocks = snapshot.headroom.value();
  out.reservations = snapshot.reservations;
  out.waiting = snapshot.waiting;
  out.admitted = snapshot.admitted;
  out.waited = snapshot.waited;
  out.refused_wait = snapshot.refused_wait;
  out.refused_never = snapshot.refused_never;
  out.released = snapshot.released;
  out.expired = snapshot.expired;
  out.draining = snapshot.draining ? 1 : 0;
}

}  // namespace plimsoll::c_interface
