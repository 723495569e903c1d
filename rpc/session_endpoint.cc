#include "rpc/session_endpoint.h"

#include <algorithm>
#include <deque>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"
#include "rpc/batch.h"
#include "rpc/claim.h"
#include "rpc/convert.h"
#include "rpc/operation.h"

namespace plimsoll {
namespace {

constexpr int kMaxClaims = 1000;
// Reservations in one welcome: half a megabyte of them at most.
constexpr size_t kHeldPerPage = 1000;

class SessionStream final : public grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>,
                            public Session::Stream,
                            public std::enable_shared_from_this<SessionStream> {
 public:
  SessionStream(const Served& served, Sessions& sessions) : served_(served), sessions_(sessions) {}

  static SessionStream* Start(const Served& served, Sessions& sessions) {
    auto stream = std::make_shared<SessionStream>(served, sessions);
    stream->self_ = stream;
    stream->StartRead(&stream->request_);
    return stream.get();
  }

  void OnReadDone(bool ok) override {
    const absl::Status status = ok ? Take(request_) : absl::OkStatus();
    if (!ok || !status.ok()) return End(status);
    Write();
    StartRead(&request_);
  }
  void OnWriteDone(bool) override ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
    }
    Write();
  }
  void OnCancel() override { End(absl::CancelledError("the client went away")); }
  void OnDone() override { const std::shared_ptr<SessionStream> last = std::move(self_); }

  void Revoked(int64_t number) override ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    pending_.add_revoked_ids(ReservationIdOf(served_.info.epoch, number));
    WakeLocked();
  }
  void Displaced(AdmissionController& admission) override {
    session_ = nullptr;
    CancelWaits(admission);
    served_.housekeeper.Post([stream = shared_from_this()] {
      if (!stream->finished()) stream->End(absl::AbortedError(kTakenOver));
    });
  }

 private:
  static constexpr char kTakenOver[] = "another stream took the session over";

  // A reservation that may have to queue. Under the admission lock.
  struct Asked {
    bool queued = false;
    std::optional<Answer> answer = std::nullopt;
  };

  // What the session holds as it opens.
  struct Held {
    std::vector<int64_t> numbers;
    // What the hello called some of them, who may have been claimed under another id before.
    std::unordered_map<int64_t, std::string> claimed_ids;
  };

  // Does what one message asks.
  absl::Status Take(const v1::SessionRequest& in) {
    Bounds bounds;
    bounds.NumberIn("number of operations", in.operations_size(), 0, kMaxOperations);
    PLIMSOLL_RETURN_IF_ERROR(bounds.status());
    if (in.has_hello() == greeted_) {
      return absl::InvalidArgumentError(greeted_ ? "hello: want none after the first message"
                                                 : "hello: want one in the first message");
    }
    if (!greeted_) PLIMSOLL_RETURN_IF_ERROR(Greet(in.hello()));
    greeted_ = true;
    return in.operations_size() == 0 ? absl::OkStatus() : Operate(in);
  }

  absl::Status Greet(const v1::Hello& in) ABSL_LOCKS_EXCLUDED(mutex_) {
    Bounds bounds;
    bounds.TextIn("client_name", in.client_name(), 0, kMaxTextBytes);
    const std::string token = bounds.TextIn("resume_token", in.resume_token(), 0, kMaxTextBytes);
    const Duration ttl = bounds.DurationIn("ttl", in.ttl(), std::chrono::hours(1));
    PLIMSOLL_RETURN_IF_ERROR(bounds.status());
    const auto claims = ClaimsFrom(in.claims(), kMaxClaims);
    if (!claims.ok()) return claims.status();
    v1::Welcome welcome;
    const auto held = served_.admission.With([&](AdmissionController& admission) {
      return OpenSession(admission, token, ttl, *claims, welcome);
    });
    if (!held.ok()) return held.status();
    std::deque<v1::Welcome> pages = PagesOf(*held, std::move(welcome));
    absl::MutexLock lock(&mutex_);
    pages_ = std::move(pages);
    welcomed_ = true;
    return absl::OkStatus();
  }

  // What is held, so many to a page; the lock is taken for one page at a time. What ends meanwhile
  // is not on any.
  std::deque<v1::Welcome> PagesOf(const Held& held, v1::Welcome page) {
    std::deque<v1::Welcome> pages;
    std::span<const int64_t> left = held.numbers;
    do {
      const auto numbers = left.first(std::min(left.size(), kHeldPerPage));
      left = left.subspan(numbers.size());
      served_.admission.With([&](const AdmissionController& admission) {
        for (const int64_t number : numbers) AddHeld(admission, number, held, page);
      });
      page.set_more(!left.empty());
      pages.push_back(page);
      page.clear_reservations();
      page.clear_lost();
    } while (!left.empty());
    return pages;
  }
  void AddHeld(const AdmissionController& admission, int64_t number, const Held& held,
               v1::Welcome& page) const {
    const auto reservation = admission.Get(ReservationIdOf(served_.info.epoch, number));
    if (!reservation.ok()) return;
    v1::Reservation* const out = page.add_reservations();
    *out = ToWire(*reservation, served_.clock.Now());
    const auto claimed = held.claimed_ids.find(number);
    if (claimed != held.claimed_ids.end()) out->set_claimed_id(claimed->second);
  }

  // Under the admission lock, as all that is given it.
  absl::StatusOr<Held> OpenSession(AdmissionController& admission, const std::string& token,
                                   Duration ttl, const std::vector<ReservationClaim>& claims,
                                   v1::Welcome& welcome) {
    if (ttl == Duration::zero()) ttl = admission.options().default_ttl;
    const Sessions::Opened opened = sessions_.Open(admission, token, ttl, *this);
    session_ = opened.session;
    Held held;
    for (const ReservationClaim& claim : claims) {
      const auto claimed = Claim(admission, claim, session_, welcome.mutable_lost());
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
    std::sort(held.numbers.begin(), held.numbers.end());
    return held;
  }

  absl::Status Operate(const v1::SessionRequest& in) ABSL_LOCKS_EXCLUDED(mutex_) {
    PLIMSOLL_RETURN_IF_ERROR(CheckRoom(in.operations_size()));
    std::vector<absl::StatusOr<Action>> actions;
    actions.reserve(static_cast<size_t>(in.operations_size()));
    for (const v1::Operation& operation : in.operations()) {
      actions.push_back(ActionFrom(operation));
    }
    std::vector<std::optional<Outcome>> outcomes(actions.size());
    const bool mine = served_.admission.With([&](AdmissionController& admission) {
      if (session_ == nullptr) return false;
      for (size_t i = 0; i < actions.size(); ++i) {
        const uint64_t id = in.operations(static_cast<int>(i)).id();
        outcomes[i] = actions[i].ok() ? DoOne(admission, id, *actions[i])
                                      : std::optional<Outcome>(actions[i].status());
      }
      return true;
    });
    if (!mine) return absl::AbortedError(kTakenOver);
    const Instant now = served_.clock.Now();
    absl::MutexLock lock(&mutex_);
    for (size_t i = 0; i < outcomes.size(); ++i) {
      if (!outcomes[i]) continue;
      SetResult(in.operations(static_cast<int>(i)).id(), *outcomes[i], now, pending_.add_results());
    }
    return absl::OkStatus();
  }

  absl::Status CheckRoom(int64_t more) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const int64_t unanswered = waiting_ + pending_.results_size();
    if (unanswered + more <= kMaxUnanswered) return absl::OkStatus();
    return absl::ResourceExhaustedError(std::to_string(unanswered) +
                                        " operations are without a result that was read; want " +
                                        std::to_string(kMaxUnanswered) + " at most");
  }

  // Nullopt where it waits.
  std::optional<Outcome> DoOne(AdmissionController& admission, uint64_t id, const Action& action) {
    if (const auto* const reserve = std::get_if<ReserveAction>(&action)) {
      if (reserve->max_wait > Duration::zero() && !reserve->validate_only) {
        return ReserveOrWait(admission, id, *reserve);
      }
    }
    if (const auto* const release = std::get_if<ReleaseAction>(&action)) {
      const auto number = ParseReservationId(release->id, admission.options().epoch);
      if (number.ok()) session_->Releasing(*number);
    }
    return Do(admission, action, session_);
  }

  std::optional<Outcome> ReserveOrWait(AdmissionController& admission, uint64_t id,
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
  void Answered(int64_t key, uint64_t id, const Answer& answer) ABSL_LOCKS_EXCLUDED(mutex_) {
    waits_.erase(key);
    absl::MutexLock lock(&mutex_);
    --waiting_;
    SetResult(id, Outcome(answer), served_.clock.Now(), pending_.add_results());
    WakeLocked();
  }

  void CancelWaits(AdmissionController& admission) {
    const auto waits = std::exchange(waits_, {});
    for (const auto& [key, ticket] : waits) admission.CancelWait(ticket);
  }
  void Close() {
    served_.admission.With([&](AdmissionController& admission) {
      CancelWaits(admission);
      if (session_ != nullptr) sessions_.Leave(admission, *session_, *this);
      session_ = nullptr;
    });
  }

  // The first end counts.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_) {
    Close();
    {
      absl::MutexLock lock(&mutex_);
      if (!end_) end_ = status;
    }
    Write();
  }
  bool finished() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return finished_;
  }

  void WakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (woken_ || writing_) return;
    woken_ = true;
    served_.housekeeper.Post([stream = shared_from_this()] { stream->WriteWoken(); });
  }
  void WriteWoken() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      woken_ = false;
    }
    Write();
  }

  // Starts the next write, or finishes when all is written. Who is cut off because he does not read
  // would never let the write on its way end: then nothing is waited for. The welcome comes first:
  // what it holds may be revoked before that is ready.
  void Write() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::optional<absl::Status> end;
    {
      absl::MutexLock lock(&mutex_);
      if (finished_) return;
      if (!welcomed_) {
        if (!end_) return;
        pending_.Clear();
      }
      const bool cut_off = end_ && absl::IsResourceExhausted(*end_);
      if (writing_ && (!cut_off || starting_ > 0)) return;
      const bool nothing =
          pending_.results().empty() && pending_.revoked_ids().empty() && pages_.empty();
      if (nothing && !end_) return;
      if (cut_off || nothing) {
        finished_ = true;
        pending_.Clear();
        end = end_;
      } else {
        writing_ = true;
        ++starting_;
        NextMessageLocked();
      }
    }
    if (end) return Finish(ToGrpc(*end));
    StartWrite(&message_);
    bool ended = false;
    {
      absl::MutexLock lock(&mutex_);
      --starting_;
      ended = end_.has_value();
    }
    if (ended) Write();
  }

  // A page of the welcome while there are more; with the last one, or after it, all that is
  // pending.
  void NextMessageLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    message_.Clear();
    if (pages_.size() <= 1) message_.Swap(&pending_);
    if (pages_.empty()) return;
    *message_.mutable_welcome() = std::move(pages_.front());
    pages_.pop_front();
  }

  const Served& served_;
  Sessions& sessions_;
  std::shared_ptr<SessionStream> self_;
  v1::SessionRequest request_;   // of the read in flight
  v1::SessionResponse message_;  // of the write in flight
  bool greeted_ = false;         // of who reads
  // Under the admission lock:
  Session* session_ = nullptr;                  // null: not yet, or not any more
  std::unordered_map<int64_t, int64_t> waits_;  // tickets
  int64_t next_wait_ = 0;
  absl::Mutex mutex_;
  v1::SessionResponse pending_ ABSL_GUARDED_BY(mutex_);    // not yet on its way
  std::deque<v1::Welcome> pages_ ABSL_GUARDED_BY(mutex_);  // not yet on their way
  bool welcomed_ ABSL_GUARDED_BY(mutex_) = false;          // the welcome is pending, or was
  int64_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  int starting_ ABSL_GUARDED_BY(mutex_) = 0;       // calls of StartWrite that have not returned
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;     // a job to write is posted
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called
};

}  // namespace

grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* StartSession(const Served& served,
                                                                               Sessions& sessions) {
  return SessionStream::Start(served, sessions);
}

}  // namespace plimsoll
