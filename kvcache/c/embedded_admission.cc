// Admission of a pool that is embedded.
#include <algorithm>

#include "kvcache/c/answers.h"
#include "kvcache/c/boundary.h"
#include "kvcache/c/embedded_pool.h"

namespace plimsoll::c_interface {

absl::StatusOr<plimsoll_answer> EmbeddedPool::Reserve(const ReservationRequest& request) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  const absl::StatusOr<Answer> answer = admission_->Reserve(request);
  if (!answer.ok()) return answer.status();
  return AnswerOf(*answer, clock().Now());
}

absl::StatusOr<plimsoll_answer> EmbeddedPool::CanAdmit(const ReservationRequest& request) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  PLIMSOLL_RETURN_IF_ERROR(admission_->Validate(request));
  admission_->Advance();
  return AnswerOf(admission_->CanAdmit(request), clock().Now());
}

// The controller may answer within the call, before it could say under which ticket: so each wait
// has a number of ours.
absl::StatusOr<EmbeddedPool::Waiting> EmbeddedPool::ReserveOrWait(const ReservationRequest& request,
                                                                  Duration max_wait) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  const int64_t number = ++last_wait_;
  const absl::StatusOr<std::optional<int64_t>> ticket = admission_->ReserveOrWait(
      request, max_wait, [this, number](const Answer& answer) ABSL_NO_THREAD_SAFETY_ANALYSIS {
        waits_.erase(number);
        outcomes_.push_back({number, answer});
      });
  if (!ticket.ok()) return ticket.status();
  Waiting waiting;
  if (ticket->has_value()) {
    waiting.ticket = number;
    waits_.emplace(number, **ticket);
    return waiting;
  }
  const auto its = std::find_if(outcomes_.begin(), outcomes_.end(),
                                [&](const Outcome& outcome) { return outcome.ticket == number; });
  PLIMSOLL_CHECK(its != outcomes_.end(), number);
  waiting.answer = AnswerOf(its->answer, clock().Now());
  outcomes_.erase(its);
  return waiting;
}

absl::StatusOr<EmbeddedPool::Waiting> EmbeddedPool::TakeAnswer() {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  admission_->Advance();
  if (outcomes_.empty()) return absl::NotFoundError("nobody who waits was answered");
  const Outcome outcome = std::move(outcomes_.front());
  outcomes_.pop_front();
  return Waiting{.ticket = outcome.ticket, .answer = AnswerOf(outcome.answer, clock().Now())};
}

absl::Status EmbeddedPool::CancelWait(int64_t ticket) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  if (const auto wait = waits_.find(ticket); wait != waits_.end()) {
    admission_->CancelWait(wait->second);
    waits_.erase(ticket);
    return absl::OkStatus();
  }
  const auto its = std::find_if(outcomes_.begin(), outcomes_.end(),
                                [&](const Outcome& outcome) { return outcome.ticket == ticket; });
  if (its == outcomes_.end()) return absl::OkStatus();
  const Answer answer = std::move(its->answer);
  outcomes_.erase(its);
  const auto* const granted = std::get_if<Reservation>(&answer);
  if (granted == nullptr) return absl::OkStatus();
  const absl::Status released = admission_->Release(granted->id);
  return absl::IsNotFound(released) ? absl::OkStatus() : released;
}

absl::StatusOr<plimsoll_answer> EmbeddedPool::Extend(const std::string& id, Tokens total) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  const absl::StatusOr<Answer> answer = admission_->Extend(id, total);
  if (!answer.ok()) return answer.status();
  return AnswerOf(*answer, clock().Now());
}

absl::StatusOr<plimsoll_answer> EmbeddedPool::Renew(const std::string& id) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  const absl::StatusOr<Reservation> reservation = admission_->Renew(id);
  if (!reservation.ok()) return reservation.status();
  return AnswerOf(*reservation, clock().Now());
}

absl::Status EmbeddedPool::Release(const std::string& id) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  return admission_->Release(id);
}

absl::Status EmbeddedPool::SetDraining(bool draining) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  admission_->SetDraining(draining);
  return absl::OkStatus();
}

absl::Status EmbeddedPool::SetTime(int64_t now_ns) {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  if (!callers_clock_) {
    return absl::FailedPreconditionError("pool: runs on the system's clock, not on the caller's");
  }
  const Instant now = callers_clock_->Now();
  // Half of what there is, so that no lease added to it overflows.
  constexpr int64_t kLatest = int64_t{1} << 62;
  if (now_ns < now.time_since_epoch().count() || now_ns > kLatest) {
    return BadField("now_ns", now_ns,
                    "at least " + std::to_string(now.time_since_epoch().count()) + ", up to 2^62");
  }
  callers_clock_->AdvanceTo(Instant(Duration(now_ns)));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> EmbeddedPool::Tick() {
  MutexLock lock(mutex_);
  PLIMSOLL_RETURN_IF_ERROR(CheckAdmission());
  admission_->Advance();
  const std::optional<Instant> next = admission_->NextDeadline();
  if (!next) return -1;
  return std::max(*next - clock().Now(), Duration::zero()).count();
}

}  // namespace plimsoll::c_interface
