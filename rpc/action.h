// One thing that a server does for a caller, of many in a batch or a session, and what became of
// it.
//
// Threads: values. Errors: an outcome that is not OK is what a call of its own would have ended
// with.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "kvcache/admission/reservation.h"

namespace plimsoll {

struct ReserveAction {
  ReservationRequest request;
  Duration max_wait = Duration::zero();  // in the server's queue; in a batch zero
  bool validate_only = false;            // asks without reserving
};
struct ExtendAction {
  std::string id;
  Tokens total;  // prompt plus new, in all
};
struct ReleaseAction {
  std::string id;
  std::optional<Tokens> used = std::nullopt;  // prompt plus new, really used
};
using Action = std::variant<ReserveAction, ExtendAction, ReleaseAction>;

// Nullopt for one that was released.
using Outcome = absl::StatusOr<std::optional<Answer>>;
// That of a reservation or an extension. Internal where it says that something was released.
absl::StatusOr<Answer> AnswerOf(const Outcome& outcome);
// NotFound where a request_id of the caller's got what it was once granted, which has ended since:
// whoever took that for a grant would count on room that others have.
absl::Status CheckNotEnded(const Reservation& granted);

}  // namespace plimsoll
