#include "rpc/reservation_holder.h"

#include <algorithm>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr size_t kMostPerCall = 1000;  // ids that one renewal takes
constexpr Duration kSoon = std::chrono::milliseconds(200);

bool NoServer(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReservationHolder>> ReservationHolder::Create(
    const HolderOptions& options) {
  if (options.safe.block_tokens < Tokens(1)) {
    return BadField("safe.block_tokens", options.safe.block_tokens.value(), "at least 1");
  }
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create(options.client);
  if (!client.ok()) return client.status();
  return std::unique_ptr<ReservationHolder>(new ReservationHolder(options, *std::move(client)));
}

ReservationHolder::ReservationHolder(const HolderOptions& options, std::unique_ptr<Client> client)
    : options_(options),
      safe_(options.safe),
      client_(std::move(client)),
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
  client_->Close();
}

absl::StatusOr<Answer> ReservationHolder::Reserve(const ReservationRequest& request,
                                                  Duration max_wait) {
  return OrLocally(client_->Reserve(request, max_wait), request);
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
  client_->ReserveAsync(request, max_wait,
                        [this, request, done = std::move(done)](absl::StatusOr<Answer> answer) {
                          done(OrLocally(std::move(answer), request));
                        });
}

absl::StatusOr<Answer> ReservationHolder::OrLocally(absl::StatusOr<Answer> answer,
                                                    const ReservationRequest& request) {
  if (answer.ok()) {
    if (const auto* const granted = std::get_if<Reservation>(&*answer)) Keep(*granted);
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
  if (!SafeCapacity::Gave(id)) return client_->Extend(id, total_tokens);
  MutexLock lock(mutex_);
  if (!safe_.Has(id)) return absl::NotFoundError("no reservation " + id);
  const std::optional<Reservation> extended = safe_.Extend(id, total_tokens, clock_.Now());
  if (extended) return *extended;
  return absl::UnavailableError(id + " was granted without a server; of the safe capacity " +
                                safe_.Limits());
}

absl::Status ReservationHolder::Release(const std::string& id, std::optional<Tokens> used_tokens) {
  {
    MutexLock lock(mutex_);
    if (SafeCapacity::Gave(id)) {
      safe_.Release(id);
      return absl::OkStatus();
    }
    ForgetLocked(id);
  }
  return client_->Release(id, used_tokens);
}

bool ReservationHolder::Holds(const std::string& id) const {
  MutexLock lock(mutex_);
  const auto found = kept_.find(id);
  if (found == kept_.end()) return safe_.Has(id);
  return clock_.Now() < found->second.until;
}

void ReservationHolder::Keep(const Reservation& reservation) {
  {
    MutexLock lock(mutex_);
    const Instant now = clock_.Now();
    KeepLocked(
        reservation.id,
        {.ttl = reservation.ttl, .due = now + reservation.ttl / 3, .until = now + reservation.ttl});
  }
  changed_.notify_all();
}

void ReservationHolder::KeepLocked(const std::string& id, const Kept& kept) {
  ForgetLocked(id);
  kept_.emplace(id, kept);
  due_.emplace(kept.due, id);
}

void ReservationHolder::ForgetLocked(const std::string& id) {
  const auto found = kept_.find(id);
  if (found == kept_.end()) return;
  due_.erase({found->second.due, id});
  kept_.erase(found);
}

// What is taken stays kept, and is due again soon: one that is released meanwhile is not renewed.
std::vector<std::string> ReservationHolder::TakeDueLocked(Instant now) {
  std::vector<std::string> ids;
  while (!due_.empty() && due_.begin()->first <= now && ids.size() < kMostPerCall) {
    const std::string id = due_.begin()->second;
    Kept kept = kept_.at(id);
    kept.due = now + std::min(kept.ttl / 10, kSoon);
    KeepLocked(id, kept);
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
      Renew(ids);
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

void ReservationHolder::Renew(const std::vector<std::string>& ids) {
  // The server counts from when it heard of it, which was not before this.
  const Instant sent = clock_.Now();
  const absl::StatusOr<Renewal> renewal = client_->Renew(ids);
  if (!renewal.ok()) return;  // they are due again soon
  std::vector<LostReservation> lost;
  {
    MutexLock lock(mutex_);
    for (const Reservation& reservation : renewal->renewed) {
      if (!kept_.contains(reservation.id)) continue;  // released meanwhile
      KeepLocked(reservation.id, {.ttl = reservation.ttl,
                                  .due = sent + reservation.ttl / 3,
                                  .until = sent + reservation.ttl});
    }
    for (const LostReservation& its : renewal->lost) {
      if (!kept_.contains(its.id)) continue;
      ForgetLocked(its.id);
      lost.push_back(its);
    }
  }
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
