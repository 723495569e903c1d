#include "rpc/waiting_reserve.h"

#include <utility>

#include "rpc/answer_bytes.h"

namespace plimsoll {

grpc::ServerUnaryReactor* WaitingReserve::Start(const Served& served,
                                                const grpc::CallbackServerContext& context,
                                                const ReservationRequest& request,
                                                Duration max_wait, grpc::ByteBuffer* out) {
  auto* const call = new WaitingReserve(served, context, !request.request_id.empty(), out);
  const DecisionTimer timer(served);
  // The ticket is stored under the admission lock, so that nobody is answered before it is known.
  const absl::Status status = served.admission.With([&](AdmissionController& admission) {
    absl::StatusOr<std::optional<int64_t>> ticket = admission.ReserveOrWait(
        request, max_wait, [call](const Answer& answer) { call->Answered(answer); });
    if (!ticket.ok()) return ticket.status();
    absl::MutexLock lock(&call->mutex_);
    call->ticket_ = *ticket;
    return absl::OkStatus();
  });
  if (!status.ok()) call->Finish(ToGrpc(status));
  return call;
}

void WaitingReserve::Answered(const Answer& answer) {
  {
    absl::MutexLock lock(&mutex_);
    answered_ = true;
  }
  served_.housekeeper.Post([this, answer] { Deliver(answer); });
}

void WaitingReserve::Deliver(const Answer& answer) {
  if (!CallerIsGone(context_)) {
    *out_ = ReserveAnswerBytes(answer, served_.Revision(), served_.clock.Now());
    return Finish(grpc::Status::OK);
  }
  const auto* const granted = std::get_if<Reservation>(&answer);
  if (granted != nullptr && !may_come_back_) {
    served_.admission
        .With([&](AdmissionController& admission) { return admission.Release(granted->id); })
        .IgnoreError();  // it may have ended by itself
  }
  Finish(ToGrpc(absl::CancelledError("the caller gave up")));
}

void WaitingReserve::OnCancel() {
  std::optional<int64_t> ticket;
  {
    absl::MutexLock lock(&mutex_);
    ticket = ticket_;
  }
  if (!ticket) return;  // answered at once, or never queued
  served_.admission.With([&](AdmissionController& admission) { admission.CancelWait(*ticket); });
  // After CancelWait the answer has either been given or never will be.
  {
    absl::MutexLock lock(&mutex_);
    if (answered_) return;
  }
  Finish(ToGrpc(absl::CancelledError("the caller gave up")));
}

}  // namespace plimsoll
