#include "rpc/session_dialogue.h"

#include <algorithm>
#include <span>
#include <utility>

#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"
#include "rpc/answer_bytes.h"
#include "rpc/batch.h"
#include "rpc/claim.h"
#include "rpc/convert.h"
#include "rpc/operation.h"

namespace plimsoll {
namespace {

constexpr int kMaxClaims = 1000;
// Reservations in one welcome: half a megabyte of them at most.
constexpr size_t kHeldPerPage = 1000;
constexpr int kResults = v1::SessionResponse::kResultsFieldNumber;
constexpr char kTakenOver[] = "another stream took the session over";

}  // namespace

SessionDialogue::SessionDialogue(SharedAdmission& admission, Sessions& sessions, const Clock& clock,
                                 Caller caller, std::function<void()> wake)
    : admission_(admission),
      sessions_(sessions),
      clock_(clock),
      caller_(std::move(caller)),
      wake_(std::move(wake)) {}

absl::Status SessionDialogue::Take(v1::SessionRequest& in) {
  Bounds bounds;
  bounds.NumberIn("number of operations", in.operations_size(), 0, kMaxOperations);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  if (in.has_hello() == greeted_) {
    return absl::InvalidArgumentError(greeted_ ? "hello: want none after the first message"
                                               : "hello: want one in the first message");
  }
  if (!greeted_) PLIMSOLL_RETURN_IF_ERROR(Greet(in.hello()));
  greeted_ = true;
  return in.operations_size() == 0 && in.ping() == 0 ? absl::OkStatus() : Operate(in);
}

absl::Status SessionDialogue::Greet(const v1::Hello& in) {
  Bounds bounds;
  bounds.TextIn("client_name", in.client_name(), 0, kMaxTextBytes);
  const std::string token = bounds.TextIn("resume_token", in.resume_token(), 0, kMaxTextBytes);
  const Duration ttl = bounds.DurationIn("ttl", in.ttl(), std::chrono::hours(1));
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  const auto claims = ClaimsFrom(in.claims(), kMaxClaims);
  if (!claims.ok()) return claims.status();
  v1::Welcome welcome;
  const auto held = admission_.With([&](AdmissionController& admission) {
    return OpenSession(admission, token, ttl, *claims, welcome);
  });
  if (!held.ok()) return held.status();
  std::deque<v1::Welcome> pages = PagesOf(*held, std::move(welcome));
  absl::MutexLock lock(&mutex_);
  pages_ = std::move(pages);
  welcomed_ = true;
  return absl::OkStatus();
}

absl::StatusOr<SessionDialogue::Held> SessionDialogue::OpenSession(
    AdmissionController& admission, const std::string& token, Duration ttl,
    const std::vector<ReservationClaim>& claims, v1::Welcome& welcome) {
  if (ttl == Duration::zero()) ttl = admission.options().default_ttl;
  epoch_ = admission.options().epoch;  // leases that are over end as the session opens
  const Sessions::Opened opened = sessions_.Open(admission, token, ttl, *this);
  session_ = opened.session;
  Held held;
  for (const ReservationClaim& claim : claims) {
    const auto claimed = Claim(admission, claim, caller_, session_, welcome.mutable_lost());
    if (!claimed.ok()) return claimed.status();
    if (!claimed->has_value() || (*claimed)->claimed_id.empty()) continue;
    const auto number = ParseReservationId((*claimed)->id, admission.options().epoch);
    held.claimed_ids[*number] = claim.id;
  }
  welcome.set_epoch(admission.options().epoch);
  welcome.set_resume_token(session_->token());
  *welcome.mutable_ttl() = ToWire(ttl);
  welcome.set_resumed(opened.resumed);
  held.numbers = session_->held();
  return held;
}

// What is held, so many to a page; the lock is taken for one page at a time. What ends meanwhile
// is not on any.
std::deque<v1::Welcome> SessionDialogue::PagesOf(const Held& held, v1::Welcome page) {
  std::deque<v1::Welcome> pages;
  std::span<const int64_t> left = held.numbers;
  do {
    const auto numbers = left.first(std::min(left.size(), kHeldPerPage));
    left = left.subspan(numbers.size());
    admission_.With([&](const AdmissionController& admission) {
      for (const int64_t number : numbers) AddHeld(admission, number, held, page);
    });
    page.set_more(!left.empty());
    pages.push_back(page);
    page.clear_reservations();
    page.clear_lost();
  } while (!left.empty());
  return pages;
}

void SessionDialogue::AddHeld(const AdmissionController& admission, int64_t number,
                              const Held& held, v1::Welcome& page) const {
  const auto reservation = admission.Get(ReservationIdOf(epoch_, number));
  if (!reservation.ok()) return;
  v1::Reservation* const out = page.add_reservations();
  *out = ToWire(*reservation, clock_.Now());
  const auto claimed = held.claimed_ids.find(number);
  if (claimed != held.claimed_ids.end()) out->set_claimed_id(claimed->second);
}

absl::Status SessionDialogue::Operate(v1::SessionRequest& in) {
  PLIMSOLL_RETURN_IF_ERROR(CheckRoom(in.operations_size()));
  std::string results;
  results.reserve(static_cast<size_t>(in.operations_size()) * kUsualResultBytes);
  int64_t count = 0;
  const bool mine = admission_.With([&](AdmissionController& admission) {
    if (session_ == nullptr) return false;
    for (v1::Operation& operation : *in.mutable_operations()) {
      const absl::StatusOr<Action> action = ActionFrom(operation, caller_);
      const std::optional<Outcome> outcome =
          action.ok() ? DoOne(admission, operation.id(), *action) : Outcome(action.status());
      if (!outcome) continue;
      AppendResult(kResults, operation.id(), *outcome, clock_, results);
      ++count;
    }
    return true;
  });
  if (!mine) return absl::AbortedError(kTakenOver);
  absl::MutexLock lock(&mutex_);
  if (in.ping() != 0) pending_.set_pong(in.ping());
  if (results_.empty()) {
    results_.swap(results);
  } else {
    results_ += results;
  }
  unread_ += count;
  return absl::OkStatus();
}

absl::Status SessionDialogue::CheckRoom(int64_t more) {
  absl::MutexLock lock(&mutex_);
  const int64_t unanswered = waiting_ + unread_;
  if (unanswered + more <= kMaxUnanswered) return absl::OkStatus();
  return absl::ResourceExhaustedError(std::to_string(unanswered) +
                                      " operations are without a result that was read; want " +
                                      std::to_string(kMaxUnanswered) + " at most");
}

std::optional<Outcome> SessionDialogue::DoOne(AdmissionController& admission, uint64_t id,
                                              const Action& action) {
  if (const auto* const reserve = std::get_if<ReserveAction>(&action)) {
    if (reserve->max_wait > Duration::zero() && !reserve->validate_only) {
      return ReserveOrWait(admission, id, *reserve);
    }
  }
  if (const auto* const release = std::get_if<ReleaseAction>(&action)) {
    const auto number = ParseReservationId(release->id, admission.options().epoch);
    if (number.ok()) session_->Releasing(*number);
  }
  return Do(admission, action, caller_, session_);
}

std::optional<Outcome> SessionDialogue::ReserveOrWait(AdmissionController& admission, uint64_t id,
                                                      const ReserveAction& action) {
  const int64_t key = next_wait_++;
  const auto asked = std::make_shared<Asked>();
  const auto ticket = admission.ReserveOrWait(
      action.request, action.max_wait,
      [this, asked, key, id](const Answer& answer) {
        if (asked->queued) return Answered(key, id, answer);
        asked->answer = answer;
      },
      session_);
  if (!ticket.ok()) return Outcome(ticket.status());
  if (asked->answer) return Outcome(*asked->answer);
  asked->queued = true;
  waits_.emplace(key, **ticket);
  absl::MutexLock lock(&mutex_);
  ++waiting_;
  return std::nullopt;
}

// Inside the controller.
void SessionDialogue::Answered(int64_t key, uint64_t id, const Answer& answer) {
  waits_.erase(key);
  {
    absl::MutexLock lock(&mutex_);
    --waiting_;
    AppendResult(kResults, id, Outcome(answer), clock_, results_);
    ++unread_;
  }
  wake_();
}

void SessionDialogue::Revoked(int64_t number) {
  {
    absl::MutexLock lock(&mutex_);
    pending_.add_revoked_ids(ReservationIdOf(epoch_, number));
  }
  wake_();
}

void SessionDialogue::Displaced(AdmissionController& admission) {
  session_ = nullptr;
  CancelWaits(admission);
  {
    absl::MutexLock lock(&mutex_);
    if (!end_) end_ = absl::AbortedError(kTakenOver);
  }
  wake_();
}

void SessionDialogue::CancelWaits(AdmissionController& admission) {
  const auto waits = std::exchange(waits_, {});
  for (const auto& [key, ticket] : waits) admission.CancelWait(ticket);
}

void SessionDialogue::End(const absl::Status& status) {
  admission_.With([&](AdmissionController& admission) {
    CancelWaits(admission);
    if (session_ != nullptr) sessions_.Leave(admission, *session_, *this);
    session_ = nullptr;
  });
  absl::MutexLock lock(&mutex_);
  if (!end_) end_ = status;
}

// The welcome comes first: what it holds may be revoked before that is ready.
SessionDialogue::Turn SessionDialogue::Next(std::string& message) {
  absl::MutexLock lock(&mutex_);
  if (!welcomed_ && !end_) return Turn::kNothing;
  const bool nothing =
      results_.empty() && pending_.revoked_ids().empty() && pending_.pong() == 0 && pages_.empty();
  if (end_ && (nothing || !welcomed_ || absl::IsResourceExhausted(*end_))) {
    results_.clear();
    pending_.Clear();
    return Turn::kEnd;
  }
  if (nothing) return Turn::kNothing;
  NextMessageLocked(message);
  return Turn::kMessage;
}

// A page of the welcome while there are more; with the last one, or after it, all that is pending.
// Messages one after the other are one with the fields of both.
void SessionDialogue::NextMessageLocked(std::string& message) {
  message.clear();
  v1::SessionResponse rest;
  if (pages_.size() <= 1) {
    message.swap(results_);
    unread_ = 0;
    rest.Swap(&pending_);
  }
  if (!pages_.empty()) {
    *rest.mutable_welcome() = std::move(pages_.front());
    pages_.pop_front();
  }
  rest.AppendToString(&message);
}

absl::Status SessionDialogue::end() const {
  absl::MutexLock lock(&mutex_);
  return end_.value_or(absl::OkStatus());
}

bool SessionDialogue::cut_off() const {
  absl::MutexLock lock(&mutex_);
  return end_ && absl::IsResourceExhausted(*end_);
}

}  // namespace plimsoll
