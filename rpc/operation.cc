#include "rpc/operation.h"

#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/convert.h"

namespace plimsoll {
namespace {

absl::StatusOr<Action> ReserveFrom(v1::ReserveCapacityRequest& in, const Caller& caller) {
  absl::StatusOr<ReservationRequest> request = FromWire(in);
  if (!request.ok()) return request.status();
  PLIMSOLL_RETURN_IF_ERROR(caller.ActFor(request->tenant));
  const absl::StatusOr<Duration> max_wait = MaxWaitFrom(in);
  if (!max_wait.ok()) return max_wait.status();
  return ReserveAction{
      .request = *std::move(request), .max_wait = *max_wait, .validate_only = in.validate_only()};
}

absl::StatusOr<Action> ExtendFrom(v1::ExtendReservationRequest& in) {
  absl::StatusOr<std::string> id = ReservationIdFrom(std::move(*in.mutable_reservation_id()));
  if (!id.ok()) return id.status();
  const absl::StatusOr<Tokens> total = TotalTokensFrom(in);
  if (!total.ok()) return total.status();
  return ExtendAction{.id = *std::move(id), .total = *total};
}

absl::StatusOr<Action> ReleaseFrom(v1::ReleaseReservationRequest& in) {
  absl::StatusOr<std::string> id = ReservationIdFrom(std::move(*in.mutable_reservation_id()));
  if (!id.ok()) return id.status();
  const absl::StatusOr<std::optional<Tokens>> used = UsedTokensFrom(in);
  if (!used.ok()) return used.status();
  return ReleaseAction{.id = *std::move(id), .used = *used};
}

Outcome OutcomeOf(absl::StatusOr<Answer> answer) {
  if (!answer.ok()) return answer.status();
  return *std::move(answer);
}

Outcome DoReserve(AdmissionController& admission, const ReserveAction& action,
                  LeaseKeeper* keeper) {
  if (!action.validate_only) return OutcomeOf(admission.Reserve(action.request, keeper));
  PLIMSOLL_RETURN_IF_ERROR(admission.Validate(action.request));
  return admission.CanAdmit(action.request);
}

}  // namespace

absl::StatusOr<Action> ActionFrom(v1::Operation& in, const Caller& caller) {
  switch (in.action_case()) {
    case v1::Operation::kReserve:
      return ReserveFrom(*in.mutable_reserve(), caller);
    case v1::Operation::kExtend:
      return ExtendFrom(*in.mutable_extend());
    case v1::Operation::kRelease:
      return ReleaseFrom(*in.mutable_release());
    case v1::Operation::ACTION_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("action: want reserve, extend or release");
}

Outcome Do(AdmissionController& admission, const Action& action, const Caller& caller,
           LeaseKeeper* keeper) {
  if (const auto* reserve = std::get_if<ReserveAction>(&action)) {
    return DoReserve(admission, *reserve, keeper);
  }
  if (const auto* extend = std::get_if<ExtendAction>(&action)) {
    PLIMSOLL_RETURN_IF_ERROR(caller.CheckMayTouch(admission, extend->id));
    return OutcomeOf(admission.Extend(extend->id, extend->total));
  }
  const auto& release = std::get<ReleaseAction>(action);
  PLIMSOLL_RETURN_IF_ERROR(caller.CheckMayTouch(admission, release.id));
  PLIMSOLL_RETURN_IF_ERROR(admission.Release(release.id, release.used));
  return std::nullopt;
}

void SetResult(uint64_t id, const Outcome& outcome, Instant now, v1::OperationResult* out) {
  out->set_id(id);
  if (!outcome.ok()) {
    out->mutable_error()->set_code(static_cast<int32_t>(outcome.status().code()));
    out->mutable_error()->set_message(std::string(outcome.status().message()));
  } else if (!outcome->has_value()) {
    out->mutable_released();
  } else {
    SetOutcome(**outcome, now, out);
  }
}

}  // namespace plimsoll
