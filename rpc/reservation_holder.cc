#include "rpc/reservation_holder.h"

#include <algorithm>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr size_t kMostPerCall = 1000;  // ids that one renewal takes
constexpr Duration kSoon = std::chrono::milliseconds(200);
// A ledger that was started again learns for a default lease, of which this is a third.
constexpr Duration kLongestPause = std::chrono::seconds(10);

bool NoServer(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// How a call of the server's puts it.
absl::Status StatusOf(const LostReservation& lost) {
  const std::string line = Describe(lost);
  return lost.stale_epoch ? absl::FailedPreconditionError(line) : absl::NotFoundError(line);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReservationHolder>> ReservationHolder::Create(
    const HolderOptions& options) {
  if (options.safe.block_tokens < Tokens(1)) {
    return BadField("safe.block_tokens", options.safe.block_tokens.value(), "at least 1");
  }
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create(options.client);
  if (!client.ok()) return client.status();
  std::unique_ptr<ClientSession> session;
  if (options.session) {
    auto opened = ClientSession::Open({.client = options.client, .on_lost = options.on_lost});
    if (!opened.ok()) return opened.status();
    session = *std::move(opened);
  }
  return std::unique_ptr<ReservationHolder>(
      new ReservationHolder(options, *std::move(client), std::move(session)));
}

ReservationHolder::ReservationHolder(const HolderOptions& options, std::unique_ptr<Client> client,
                                     std::unique_ptr<ClientSession> session)
    : options_(options),
      safe_(options.safe),
      client_(std::move(client)),
      session_(std::move(session)),
      thread_([this] { Run(); }) {}

ReservationHolder::~ReservationHolder() {
  Close();
  thread_.join();
}

void ReservationHolder::Close() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (session_) session_->Close();
  client_->Close();
}

absl::StatusOr<Answer> ReservationHolder::Reserve(const ReservationRequest& request,
                                                  Duration max_wait) {
  return OrLocally(
      session_ ? session_->Reserve(request, max_wait) : client_->Reserve(request, max_wait),
      request);
}

absl::StatusOr<std::variant<HeldReservation, Refusal>> ReservationHolder::Hold(
    const ReservationRequest& request, Duration max_wait) {
  absl::StatusOr<Answer> answer = Reserve(request, max_wait);
  if (!answer.ok()) return answer.status();
  using Held = std::variant<HeldReservation, Refusal>;
  if (const auto* const refusal = std::get_if<Refusal>(&*answer)) return Held(*refusal);
  return Held(HeldReservation(*this, std::get<Reservation>(*std::move(answer))));
}

void ReservationHolder::ReserveAsync(const ReservationRequest& request, Duration max_wait,
                                     Client::AnswerHandler done) {
  auto local = [this, request, done = std::move(done)](absl::StatusOr<Answer> answer) {
    done(OrLocally(std::move(answer), request));
  };
  if (!session_) return client_->ReserveAsync(request, max_wait, std::move(local));
  session_->Ask(ReserveAction{.request = request, .max_wait = max_wait},
                [local = std::move(local)](const Outcome& outcome) { local(AnswerOf(outcome)); });
}

absl::StatusOr<Answer> ReservationHolder::OrLocally(absl::StatusOr<Answer> answer,
                                                    const ReservationRequest& request) {
  if (answer.ok()) {
    if (const auto* const granted = std::get_if<Reservation>(&*answer);
        granted != nullptr && !session_) {
      Keep(*granted, request);
    }
    return answer;
  }
  if (options_.safe.requests == 0 || !NoServer(answer.status())) return answer;
  MutexLock lock(mutex_);
  const std::optional<Reservation> given = safe_.Reserve(request, clock_.Now());
  if (given) return *given;
  return absl::UnavailableError(std::string(answer.status().message()) + "; of the safe capacity " +
                                safe_.Limits());
}

absl::StatusOr<Answer> ReservationHolder::Extend(const std::string& id, Tokens total_tokens) {
  if (!SafeCapacity::Gave(id)) {
    return session_ ? session_->Extend(id, total_tokens) : ExtendKept(id, total_tokens);
  }
  MutexLock lock(mutex_);
  if (!safe_.Has(id)) return absl::NotFoundError("no reservation " + id);
  const std::optional<Reservation> extended = safe_.Extend(id, total_tokens, clock_.Now());
  if (extended) return *extended;
  return absl::UnavailableError(id + " was granted without a server; of the safe capacity " +
                                safe_.Limits());
}

// Of a server that was started again it is claimed first.
absl::StatusOr<Answer> ReservationHolder::ExtendKept(const std::string& id, Tokens total_tokens) {
  const std::string id_now = IdNow(id);
  absl::StatusOr<Answer> answer = client_->Extend(id_now, total_tokens);
  if (absl::IsFailedPrecondition(answer.status()) && RenewOrClaim({id}).ok() &&
      IdNow(id) != id_now) {
    answer = client_->Extend(IdNow(id), total_tokens);
  }
  if (answer.ok()) NoteExtended(id, *answer);
  return answer;
}

void ReservationHolder::NoteExtended(const std::string& id, Answer& answer) {
  auto* const extended = std::get_if<Reservation>(&answer);
  if (extended == nullptr) return;
  MutexLock lock(mutex_);
  held_.Extended(id, extended->max_new_tokens);
  extended->id = held_.GrantedAs(extended->id);
}

absl::StatusOr<Reservation> ReservationHolder::Renew(const std::string& id) {
  const Instant sent = clock_.Now();
  const absl::StatusOr<Renewal> renewal = client_->Renew({IdNow(id)});
  if (!renewal.ok()) return renewal.status();
  if (renewal->renewed.empty()) {
    return renewal->lost.empty() ? absl::NotFoundError("no reservation " + id)
                                 : StatusOf(renewal->lost.front());
  }
  Note(*renewal, sent);
  Reservation its = renewal->renewed.front();
  its.id = id;
  return its;
}

absl::Status ReservationHolder::Release(const std::string& id, std::optional<Tokens> used_tokens) {
  std::string id_now;
  {
    MutexLock lock(mutex_);
    if (SafeCapacity::Gave(id)) {
      safe_.Release(id);
      return absl::OkStatus();
    }
    id_now = held_.IdNow(id);
    ForgetLocked(id);
  }
  if (session_) return session_->Release(id, used_tokens);
  return client_->Release(id_now, used_tokens);
}

bool ReservationHolder::Holds(const std::string& id) const {
  if (session_ && session_->Holds(id)) return true;
  MutexLock lock(mutex_);
  const auto found = kept_.find(held_.GrantedAs(id));
  if (found == kept_.end()) return safe_.Has(id);
  return clock_.Now() < found->second.until;
}

std::string ReservationHolder::IdNow(const std::string& id) const {
  if (session_) return session_->IdNow(id);
  MutexLock lock(mutex_);
  return held_.IdNow(id);
}

void ReservationHolder::Keep(const Reservation& granted, const ReservationRequest& request) {
  {
    MutexLock lock(mutex_);
    const Instant now = clock_.Now();
    // Another life: what the one before gave is to be claimed while this one learns.
    if (std::exchange(epoch_, granted.epoch) != granted.epoch) AllAreDueLocked(now);
    LivesLocked(held_.Add(granted, request), granted.ttl, now);
  }
  changed_.notify_all();
}

void ReservationHolder::LivesLocked(const std::string& granted_id, Duration ttl, Instant since) {
  kept_[granted_id].until = since + ttl;
  SetDueLocked(granted_id, since + std::min(ttl / 3, kLongestPause));
}

void ReservationHolder::SetDueLocked(const std::string& granted_id, Instant due) {
  Kept& kept = kept_.at(granted_id);
  due_.erase({kept.due, granted_id});
  kept.due = due;
  due_.emplace(due, granted_id);
}

// But for those that are due soon, as what was just taken is: a server that goes on failing is not
// asked without a pause.
void ReservationHolder::AllAreDueLocked(Instant now) {
  due_.clear();
  for (auto& [granted_id, kept] : kept_) {
    if (kept.due > now + kSoon) kept.due = now;
    due_.emplace(kept.due, granted_id);
  }
}

void ReservationHolder::ForgetLocked(const std::string& id) {
  const auto found = kept_.find(held_.GrantedAs(id));
  if (found == kept_.end()) return;
  due_.erase({found->second.due, found->first});
  held_.Forget(found->first);
  kept_.erase(found);
}

// What is taken stays kept, and is due again soon: one that is released meanwhile is not renewed.
std::vector<std::string> ReservationHolder::TakeDueLocked(Instant now) {
  std::vector<std::string> ids;
  while (!due_.empty() && due_.begin()->first <= now && ids.size() < kMostPerCall) {
    const std::string id = due_.begin()->second;
    SetDueLocked(id, now + std::min(held_.Claim(id).ttl / 10, kSoon));
    ids.push_back(id);
  }
  return ids;
}

void ReservationHolder::Run() {
  mutex_.lock();
  while (!stopping_) {
    const std::vector<std::string> ids = TakeDueLocked(clock_.Now());
    if (!ids.empty()) {
      mutex_.unlock();
      RenewOrClaim(ids).IgnoreError();  // then they are due again soon
      mutex_.lock();
    } else if (due_.empty()) {
      changed_.wait(mutex_);
    } else {
      // A copy: while it waits, its entry may be erased.
      const Instant due = due_.begin()->first;
      changed_.wait_until(mutex_, due);
    }
  }
  mutex_.unlock();
}

std::vector<std::string> ReservationHolder::IdsNow(const std::vector<std::string>& ids) const {
  std::vector<std::string> now;
  MutexLock lock(mutex_);
  for (const std::string& id : ids) {
    if (held_.Has(id)) now.push_back(held_.IdNow(id));
  }
  return now;
}

// What is lost because it is of another life, as claims. All else is of that life too.
std::vector<ReservationClaim> ReservationHolder::TakeStale(Renewal& renewal, Instant now) {
  std::vector<ReservationClaim> claims;
  std::vector<LostReservation> others;
  MutexLock lock(mutex_);
  for (LostReservation& lost : renewal.lost) {
    if (lost.stale_epoch && held_.Has(lost.id)) {
      claims.push_back(held_.Claim(lost.id));
    } else {
      others.push_back(std::move(lost));
    }
  }
  renewal.lost = std::move(others);
  if (!claims.empty()) AllAreDueLocked(now);
  return claims;
}

// Claims what the server says is of another life: a ledger that was started again takes that.
absl::Status ReservationHolder::RenewOrClaim(const std::vector<std::string>& ids) {
  const std::vector<std::string> ids_now = IdsNow(ids);
  if (ids_now.empty()) return absl::OkStatus();
  // The server counts from when it heard of it, which was not before this.
  const Instant sent = clock_.Now();
  absl::StatusOr<Renewal> renewal = client_->Renew(ids_now);
  if (!renewal.ok()) return renewal.status();
  const std::vector<ReservationClaim> claims = TakeStale(*renewal, sent);
  Note(*renewal, sent);
  return claims.empty() ? absl::OkStatus() : Claim(claims);
}

absl::Status ReservationHolder::Claim(const std::vector<ReservationClaim>& claims) {
  const Instant sent = clock_.Now();
  const absl::StatusOr<Renewal> renewal = client_->Renew({}, claims);
  if (!renewal.ok()) return renewal.status();
  std::vector<std::string> unwanted;
  {
    MutexLock lock(mutex_);
    for (const Reservation& its : renewal->renewed) {
      if (held_.Has(its.claimed_id)) {
        held_.Claimed(its.claimed_id, its.id);
      } else {
        unwanted.push_back(its.id);  // released meanwhile, under an id that the server did not know
      }
    }
  }
  for (const std::string& id : unwanted) client_->ReleaseAsync(id, std::nullopt, [](auto) {});
  Note(*renewal, sent);
  return absl::OkStatus();
}

void ReservationHolder::Note(const Renewal& renewal, Instant sent) {
  std::vector<LostReservation> lost;
  {
    MutexLock lock(mutex_);
    for (const Reservation& its : renewal.renewed) {
      if (held_.Has(its.id)) LivesLocked(held_.GrantedAs(its.id), its.ttl, sent);
    }
    for (LostReservation its : renewal.lost) {
      if (!held_.Has(its.id)) continue;  // released meanwhile
      its.id = held_.GrantedAs(its.id);
      ForgetLocked(its.id);
      lost.push_back(std::move(its));
    }
  }
  changed_.notify_all();
  for (const LostReservation& its : lost) options_.on_lost(its);
}

absl::StatusOr<Answer> HeldReservation::Extend(Tokens total_tokens) {
  absl::StatusOr<Answer> answer = holder_->Extend(reservation_.id, total_tokens);
  if (!answer.ok()) return answer;
  if (const auto* const extended = std::get_if<Reservation>(&*answer)) reservation_ = *extended;
  return answer;
}

absl::Status HeldReservation::Release(Tokens used_tokens) {
  return std::exchange(holder_, nullptr)->Release(reservation_.id, used_tokens);
}

}  // namespace plimsoll
