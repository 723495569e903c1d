#include "rpc/batch.h"

#include <string>
#include <utility>
#include <vector>

#include "kvcache/base/errors.h"
#include "rpc/answer_bytes.h"
#include "rpc/bounds.h"
#include "rpc/operation.h"

namespace plimsoll {
namespace {

constexpr int kResults = v1::BatchReserveCapacityResponse::kResultsFieldNumber;

absl::Status CheckAnswersAtOnce(const Action& action) {
  const auto* const reserve = std::get_if<ReserveAction>(&action);
  if (reserve == nullptr || reserve->max_wait == Duration::zero()) return absl::OkStatus();
  return absl::InvalidArgumentError("max_wait: want 0 in a batch, which is answered at once");
}

absl::StatusOr<Action> BatchActionFrom(v1::Operation& in, const Caller& caller) {
  absl::StatusOr<Action> action = ActionFrom(in, caller);
  if (action.ok()) PLIMSOLL_RETURN_IF_ERROR(CheckAnswersAtOnce(*action));
  return action;
}

// Read and answered under the lock too: one after the other they stay in the processor's cache,
// and nothing is kept for as many operations as a batch has.
void DoEach(const Served& served, const Caller& caller, v1::BatchReserveCapacityRequest& in,
            std::string& out) {
  served.admission.With([&](AdmissionController& admission) {
    for (v1::Operation& operation : *in.mutable_operations()) {
      const absl::StatusOr<Action> action = BatchActionFrom(operation, caller);
      const Outcome outcome =
          action.ok() ? Do(admission, *action, caller) : Outcome(action.status());
      AppendResult(kResults, operation.id(), outcome, served.clock, out);
    }
  });
}

absl::StatusOr<std::vector<ReservationRequest>> RequestsFrom(v1::BatchReserveCapacityRequest& in,
                                                             const Caller& caller) {
  std::vector<ReservationRequest> requests;
  for (v1::Operation& operation : *in.mutable_operations()) {
    const std::string which = "operations[" + std::to_string(requests.size()) + "]";
    absl::StatusOr<Action> action = BatchActionFrom(operation, caller);
    if (!action.ok()) return Annotate(action.status(), which);
    auto* const reserve = std::get_if<ReserveAction>(&*action);
    if (reserve == nullptr || reserve->validate_only) {
      return absl::InvalidArgumentError(
          which + ": want a reservation, not validate_only, where all_or_nothing is set");
    }
    requests.push_back(std::move(reserve->request));
  }
  return requests;
}

absl::Status DoAll(const Served& served, const Caller& caller, v1::BatchReserveCapacityRequest& in,
                   std::string& out) {
  const absl::StatusOr<std::vector<ReservationRequest>> requests = RequestsFrom(in, caller);
  if (!requests.ok()) return requests.status();
  const absl::StatusOr<BatchAnswer> answer = served.admission.With(
      [&](AdmissionController& admission) { return admission.ReserveAll(*requests); });
  if (!answer.ok()) return answer.status();
  const auto* const refused = std::get_if<RefusedOne>(&*answer);
  for (size_t i = 0; i < requests->size(); ++i) {
    Outcome outcome;
    if (refused == nullptr) {
      outcome = std::get<std::vector<Reservation>>(*answer)[i];
    } else if (i == refused->index) {
      outcome = refused->refusal;
    } else {
      outcome = absl::AbortedError("operations[" + std::to_string(refused->index) +
                                   "] was refused, so nothing was reserved");
    }
    AppendResult(kResults, in.operations(static_cast<int>(i)).id(), outcome, served.clock, out);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> DoBatch(const Served& served, const Caller& caller,
                                    v1::BatchReserveCapacityRequest& in) {
  Bounds bounds;
  bounds.NumberIn("number of operations", in.operations_size(), 1, kMaxOperations);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  std::string out;
  out.reserve(static_cast<size_t>(in.operations_size()) * kUsualResultBytes);
  if (in.all_or_nothing()) {
    PLIMSOLL_RETURN_IF_ERROR(DoAll(served, caller, in, out));
  } else {
    DoEach(served, caller, in, out);
  }
  AppendNumber(v1::BatchReserveCapacityResponse::kRevisionFieldNumber, served.Revision(), out);
  return out;
}

}  // namespace plimsoll
