// Many operations in one call of the holder.
#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/attempts.h"
#include "rpc/reservation_holder.h"

namespace plimsoll {
namespace {

// Whether it is about what was granted without a server.
bool IsOfSafeCapacity(const Action& action) {
  if (const auto* const extend = std::get_if<ExtendAction>(&action)) {
    return SafeCapacity::Gave(extend->id);
  }
  const auto* const release = std::get_if<ReleaseAction>(&action);
  return release != nullptr && SafeCapacity::Gave(release->id);
}

Outcome OutcomeOf(absl::StatusOr<Answer> answer) {
  if (!answer.ok()) return answer.status();
  return *std::move(answer);
}

}  // namespace

std::vector<Outcome> ReservationHolder::Batch(const std::vector<Action>& actions) {
  std::vector<Outcome> outcomes(actions.size(), Outcome(std::nullopt));
  std::vector<Action> remote;
  std::vector<size_t> places;  // of these, among all
  for (size_t i = 0; i < actions.size(); ++i) {
    if (IsOfSafeCapacity(actions[i])) {
      outcomes[i] = DoLocally(actions[i]);
    } else {
      remote.push_back(actions[i]);
      places.push_back(i);
    }
  }
  if (remote.empty()) return outcomes;
  std::vector<Outcome> answers = session_ ? session_->Batch(remote) : BatchKept(remote);
  for (size_t i = 0; i < places.size(); ++i) {
    outcomes[places[i]] = NoteOutcome(remote[i], std::move(answers[i]));
  }
  return outcomes;
}

Outcome ReservationHolder::DoLocally(const Action& action) {
  if (const auto* const extend = std::get_if<ExtendAction>(&action)) {
    return OutcomeOf(Extend(extend->id, extend->total));
  }
  PLIMSOLL_RETURN_IF_ERROR(Release(std::get<ReleaseAction>(action).id));
  return std::nullopt;
}

// As the server calls what they are about; what is released is not renewed any more.
std::vector<Outcome> ReservationHolder::BatchKept(std::vector<Action> actions) {
  {
    MutexLock lock(mutex_);
    for (Action& action : actions) {
      if (auto* const extend = std::get_if<ExtendAction>(&action)) {
        extend->id = held_.IdNow(extend->id);
      } else if (auto* const release = std::get_if<ReleaseAction>(&action)) {
        const std::string id = std::exchange(release->id, held_.IdNow(release->id));
        ForgetLocked(id);
      }
    }
  }
  absl::StatusOr<std::vector<Outcome>> outcomes = client_->Batch(actions);
  if (outcomes.ok()) return *std::move(outcomes);
  return std::vector<Outcome>(actions.size(), Outcome(outcomes.status()));
}

// What was granted is kept, or granted here. An extension of what a server that was started again
// does not know yet is made again, for which it is claimed.
Outcome ReservationHolder::NoteOutcome(const Action& action, Outcome outcome) {
  if (const auto* const reserve = std::get_if<ReserveAction>(&action)) {
    if (reserve->validate_only) return outcome;
    return OutcomeOf(OrLocally(AnswerOf(outcome), reserve->request));
  }
  const auto* const extend = std::get_if<ExtendAction>(&action);
  if (extend == nullptr || session_) return outcome;
  if (absl::IsFailedPrecondition(outcome.status())) {
    return OutcomeOf(ExtendKept(extend->id, extend->total));
  }
  if (outcome.ok() && outcome->has_value()) NoteExtended(extend->id, **outcome);
  return outcome;
}

absl::StatusOr<BatchAnswer> ReservationHolder::ReserveAll(
    std::vector<ReservationRequest> requests) {
  for (ReservationRequest& request : requests) {
    if (session_ && request.request_id.empty()) request.request_id = RandomRequestId();
  }
  absl::StatusOr<BatchAnswer> answer = client_->ReserveAll(requests);
  auto* const granted = answer.ok() ? std::get_if<std::vector<Reservation>>(&*answer) : nullptr;
  if (granted == nullptr) return answer;
  if (session_) {
    PLIMSOLL_RETURN_IF_ERROR(TakeOver(requests, *granted));
  } else {
    for (size_t i = 0; i < requests.size(); ++i) Keep((*granted)[i], requests[i]);
  }
  return answer;
}

// The session asks for the same again: then it is the session's. All of it, or nothing stays.
absl::Status ReservationHolder::TakeOver(const std::vector<ReservationRequest>& requests,
                                         const std::vector<Reservation>& granted) {
  std::vector<Action> again;
  for (const ReservationRequest& request : requests) {
    again.emplace_back(ReserveAction{.request = request});
  }
  absl::Status status;
  for (const Outcome& outcome : session_->Batch(again)) status.Update(outcome.status());
  if (status.ok()) return status;
  for (const Reservation& its : granted) {
    session_->Ask(ReleaseAction{.id = its.id}, [](const Outcome&) {});
  }
  return status;
}

}  // namespace plimsoll
