// A client that keeps what it was granted: it renews leases by itself, gives back what its user
// lets go of, and knows what to do while no server answers.
//
//   auto holder = ReservationHolder::Create({.client = {.server = "127.0.0.1:8470"}});
//   auto held = (*holder)->Hold({.prompt_tokens = Tokens(1000), .max_new_tokens = Tokens(600)});
//
// A reservation is renewed at a third of its ttl and every ten seconds at least, many in one call,
// until it is released or lost: a server that could not be reached for a whole lease may have given
// it to others. While no server answers, up to the configured safe capacity is granted here
// (safe_capacity.h) and told apart by IsLocal; without one, nothing is.
//
// Of a ledger that was started again the holder claims what it holds, and goes on holding it under
// the id that it was granted under: that one means it in every call here, whatever the new life
// calls it (IdNow). What the server does not learn any more, or has no room for, is lost and said.
//
// With HolderOptions::session all of that goes over one stream, which is the lease: nothing is
// renewed, and a holder that dies is noticed at once.
//
// Threads: any; one of its own renews. Callbacks come on that thread, on threads of the client, and
// on_lost also on the caller's, within an Extend or Renew that finds a loss: they must not block,
// and must not destroy the holder. Cost: a lock and a map per call beside the client's. Errors: the
// client's.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/base/mutex.h"
#include "rpc/client.h"
#include "rpc/client_holdings.h"
#include "rpc/client_session.h"
#include "rpc/safe_capacity.h"

namespace plimsoll {

struct HolderOptions {
  ClientOptions client = {};
  SafeCapacityOptions safe = {};
  // Over a session (client_session.h) in place of renewals: the stream is the lease.
  bool session = false;
  // Hears of each reservation that a renewal did not find any more, or a claim did not get again,
  // by the id that it was granted under.
  std::function<void(const LostReservation&)> on_lost = [](const LostReservation&) {};
};

class HeldReservation;

class ReservationHolder {
 public:
  static absl::StatusOr<std::unique_ptr<ReservationHolder>> Create(const HolderOptions& options);
  // Closes it.
  ~ReservationHolder();
  // Renews nothing more and cancels every call; their callbacks have returned when this does. What
  // is still held lives until its lease ends.
  void Close();

  // As the client's, and from a grant on it is renewed.
  absl::StatusOr<Answer> Reserve(const ReservationRequest& request,
                                 Duration max_wait = Duration::zero());
  // The same as an object that gives it back.
  absl::StatusOr<std::variant<HeldReservation, Refusal>> Hold(const ReservationRequest& request,
                                                              Duration max_wait = Duration::zero());
  void ReserveAsync(const ReservationRequest& request, Duration max_wait,
                    Client::AnswerHandler done);
  absl::StatusOr<Answer> Extend(const std::string& id, Tokens total_tokens);
  // A sign of life now. NotFound, or FailedPrecondition for an id of another life, where it is
  // lost.
  absl::StatusOr<Reservation> Renew(const std::string& id);
  // Not renewed any more, whatever the server says.
  absl::Status Release(const std::string& id, std::optional<Tokens> used_tokens = std::nullopt);
  // 1 to 256 in one call, done in their order with nobody in between; one outcome for each. Without
  // a server each is as it would be alone.
  std::vector<Outcome> Batch(const std::vector<Action>& actions);
  // All of them are reserved, or none and the first that was refused. Of the safe capacity nothing
  // is reserved so.
  absl::StatusOr<BatchAnswer> ReserveAll(std::vector<ReservationRequest> requests);

  static bool IsLocal(const Reservation& reservation) { return SafeCapacity::Gave(reservation.id); }
  // Whether it is kept: granted here, neither released nor lost. Also false while the last sign of
  // life that a server answered is older than the lease: it may have been given to others.
  bool Holds(const std::string& id) const;
  // What the server calls it: after a claim, not as it was granted. `id` where it is not kept.
  std::string IdNow(const std::string& id) const;
  Client& client() { return *client_; }

 private:
  struct Kept {
    Instant due;    // of the next renewal
    Instant until;  // when the lease is over, unless a renewal succeeds
  };

  ReservationHolder(const HolderOptions& options, std::unique_ptr<Client> client,
                    std::unique_ptr<ClientSession> session);
  absl::StatusOr<Answer> OrLocally(absl::StatusOr<Answer> answer,
                                   const ReservationRequest& request);
  absl::StatusOr<Answer> ExtendKept(const std::string& id, Tokens total_tokens);
  void NoteExtended(const std::string& id, Answer& answer) ABSL_LOCKS_EXCLUDED(mutex_);
  Outcome DoLocally(const Action& action);
  std::vector<Outcome> BatchKept(std::vector<Action> actions) ABSL_LOCKS_EXCLUDED(mutex_);
  Outcome NoteOutcome(const Action& action, Outcome outcome);
  absl::Status TakeOver(const std::vector<ReservationRequest>& requests,
                        const std::vector<Reservation>& granted);
  void Keep(const Reservation& granted, const ReservationRequest& request)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void LivesLocked(const std::string& granted_id, Duration ttl, Instant since)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetDueLocked(const std::string& granted_id, Instant due)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AllAreDueLocked(Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetLocked(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run();
  std::vector<std::string> TakeDueLocked(Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status RenewOrClaim(const std::vector<std::string>& ids) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::string> IdsNow(const std::vector<std::string>& ids) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<ReservationClaim> TakeStale(Renewal& renewal, Instant now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Claim(const std::vector<ReservationClaim>& claims) ABSL_LOCKS_EXCLUDED(mutex_);
  void Note(const Renewal& renewal, Instant sent) ABSL_LOCKS_EXCLUDED(mutex_);

  const HolderOptions options_;
  const SystemClock clock_;
  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  SafeCapacity safe_ ABSL_GUARDED_BY(mutex_);
  // Both by the ids that they were granted under: whatever is in one is in the other.
  ClientHoldings held_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Kept> kept_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<Instant, std::string>> due_ ABSL_GUARDED_BY(mutex_);
  std::string epoch_ ABSL_GUARDED_BY(mutex_);  // of the last grant
  const std::unique_ptr<Client> client_;
  const std::unique_ptr<ClientSession> session_;  // null: leases are renewed
  std::thread thread_;
};

// Owns a reservation: its destructor gives it back, with one call that lasts at most the client's
// call_timeout. Does not outlive the holder.
class HeldReservation {
 public:
  HeldReservation(ReservationHolder& holder, Reservation reservation)
      : holder_(&holder), reservation_(std::move(reservation)) {}
  HeldReservation(HeldReservation&& other) noexcept
      : holder_(std::exchange(other.holder_, nullptr)),
        reservation_(std::move(other.reservation_)) {}
  HeldReservation& operator=(HeldReservation&&) = delete;
  ~HeldReservation() {
    // Where there is no server, the lease ends by itself.
    if (holder_ != nullptr) holder_->Release(reservation_.id).IgnoreError();
  }

  const Reservation& reservation() const { return reservation_; }
  bool local() const { return ReservationHolder::IsLocal(reservation_); }
  bool lost() const { return !holder_->Holds(reservation_.id); }
  // A refusal leaves it as it was.
  absl::StatusOr<Answer> Extend(Tokens total_tokens);
  // Gives it back now, and says what was used of it.
  absl::Status Release(Tokens used_tokens);

 private:
  ReservationHolder* holder_;  // null once moved from or released
  Reservation reservation_;
};

}  // namespace plimsoll
