// Who gets what: grants, and the queue of those who wait.
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

absl::Status OtherContent(const ReservationRequest& first, const ReservationRequest& repeat) {
  return absl::InvalidArgumentError(
      "request_id: used before for prompt_tokens=" + std::to_string(first.prompt_tokens.value()) +
      " max_new_tokens=" + std::to_string(first.max_new_tokens.value()) +
      "; now prompt_tokens=" + std::to_string(repeat.prompt_tokens.value()) +
      " max_new_tokens=" + std::to_string(repeat.max_new_tokens.value()) +
      ": want the same content, ttl included, or another id");
}

}  // namespace

absl::StatusOr<std::optional<Reservation>> AdmissionController::State::FindRepeat(
    const ReservationRequest& request, Instant now) const {
  if (const ReservationRecord* known = book.FindRequest(request)) {
    if (!SameContent(known->request, request)) return OtherContent(known->request, request);
    return View(*known, now);
  }
  if (const std::optional<int64_t> ticket = queue.FindRequest(request.tenant, request.request_id)) {
    const ReservationRequest& first = queue.At(*ticket).request;
    if (!SameContent(first, request)) return OtherContent(first, request);
  }
  return std::nullopt;
}

absl::StatusOr<Answer> AdmissionController::State::AnswerNow(const ReservationRequest& request,
                                                             Instant now) {
  absl::StatusOr<std::optional<Reservation>> repeat = FindRepeat(request, now);
  if (!repeat.ok()) return repeat.status();
  if (repeat->has_value()) return **std::move(repeat);
  const Verdict verdict = Decide(request, queue.blocks());
  if (verdict.decision != Decision::kAdmitted) return Refuse(verdict, now);
  return Grant(request, verdict.needed, now).reservation;
}

ReservationRecord& AdmissionController::State::Grant(const ReservationRequest& request,
                                                     Blocks blocks, Instant now) {
  Reservation reservation = Draft(request, blocks, now);
  reservation.id = ReservationIdOf(options.epoch, book.NextNumber());
  ReservationRecord& record = book.Add(request, std::move(reservation));
  if (cache.shares_prefixes() && !request.prefix_hashes.empty()) {
    record.prepared = cache.BeginWith(PromptOf(request), blocks);
    PLIMSOLL_CHECK(record.prepared.has_value(), blocks, cache.available());
  } else {
    const bool promised = cache.Promise(blocks);
    PLIMSOLL_CHECK(promised, blocks, cache.available());
  }
  record.place = policy->Started(DemandOf(request));
  leases.Set(record.number, record.reservation.expires);
  ++counters.admitted;
  return record;
}

void AdmissionController::State::CountRefusal(const Refusal& refusal) {
  ++(refusal.decision == Decision::kNever ? counters.refused_never : counters.refused_wait);
}

void AdmissionController::State::ServeWaiters(Instant now) {
  while (const Waiter* front = queue.Front()) {
    const Verdict verdict = Decide(front->request, Blocks(0));
    if (verdict.decision != Decision::kAdmitted) return;
    const Waiter waiter = queue.PopFront();
    const ReservationRecord& record = Grant(waiter.request, verdict.needed, now);
    ++counters.waited;
    Publish();
    waiter.done(record.reservation);
    ServeRepeats(record, now);
  }
}

void AdmissionController::State::ServeRepeats(const ReservationRecord& record, Instant now) {
  const ReservationRequest& request = record.request;
  while (const std::optional<int64_t> ticket =
             queue.FindRequest(request.tenant, request.request_id)) {
    const std::optional<Waiter> waiter = queue.Remove(*ticket);
    Publish();
    waiter->done(View(record, now));
  }
}

void AdmissionController::State::TurnAway(const Waiter& waiter, Reason reason, Instant now) {
  Verdict verdict = Decide(waiter.request, queue.blocks());
  verdict.decision = Decision::kWait;
  verdict.reason = reason;
  const Refusal refusal = Refuse(verdict, now);
  CountRefusal(refusal);
  Publish();
  waiter.done(refusal);
}

}  // namespace plimsoll
