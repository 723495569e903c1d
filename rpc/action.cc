#include "rpc/action.h"

namespace plimsoll {

absl::StatusOr<Answer> AnswerOf(const Outcome& outcome) {
  if (!outcome.ok()) return outcome.status();
  const std::optional<Answer>& answer = *outcome;
  if (answer.has_value()) return *answer;
  return absl::InternalError("bad answer from the server: a release, which was not asked for");
}

absl::Status CheckNotEnded(const Reservation& granted) {
  if (!granted.ended) return absl::OkStatus();
  return absl::NotFoundError("reservation " + granted.id +
                             ", which this request_id was granted, has ended: want another id");
}

}  // namespace plimsoll
