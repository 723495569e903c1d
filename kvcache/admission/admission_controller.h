// Answers yes, wait or never to each request, and holds what was promised under leases.
//
// Under never-evict, the default, an admitted request is promised blocks for prompt_tokens +
// max_new_tokens and is never cut off. Under the other policies it is promised room for its prompt
// and one token, and its holder extends it as it grows; an extension that finds no room is refused
// and counts as an overflow, and it is up to the holder to release or to wait.
//
// Callers may wait in a fair queue: higher priorities first, tenants in turn, each tenant's
// requests in order of arrival; wait_queue.h says how long one may be passed by others. Nobody
// overtakes: a newcomer is served only if it would be the first in the queue, so while somebody of
// its priority or a higher one waits for room it is told to wait too. What fits in what its tenant
// has not used of its guaranteed minimum takes nothing from anybody and waits for no other tenant;
// a tenant that is at its maximum steps aside. See tenants.h.
//
// Invariants, which CheckInvariants() verifies:
//   1. Every reservation has an owner, an epoch and a deadline.
//   2. Blocks promised to reservations without a running sequence, plus what running sequences
//      have left of their promises, add up to the cache's reserved blocks.
//   3. An admitted request_id gives the same reservation again until a minute after its end,
//      within a byte cap; with other content it is InvalidArgument. Refusals are not kept.
//   4. What tenants hold adds up to the blocks that are promised or live; no tenant holds more than
//      its maximum; and what is available is at least what they have not used of their minimums.
//
// A grant lives at most `confirm_window` until its first sign of life (Renew, Extend,
// BeginSequence or Release), then for its ttl after each. A reservation whose sequence runs does
// not expire; its generation is the sign of life.
//
// A holder's extension comes before those who wait: only by finishing can it give room back. Where
// several were refused, what comes back goes to whoever came first; see stalled_holders.h for why
// everybody ends. While draining, holders may still extend, and whoever waits is told DRAINING.
//
// A request may name a class with a policy of its own. Whatever others do, a never-evict request is
// promised the whole; those of the other classes share what is left, and one forecast.
//
// Threads: none; see shared_admission.h. Time is read from the clock given; leases end and waiters
// are served inside Advance and every other call that is not const; const calls see what the last
// of those left.
// Cost: O(log n) in reservations or waiters, O(blocks) where blocks move; nothing scans.
// Errors: InvalidArgument naming the field; NotFound for an unknown id; FailedPrecondition with
// STALE_EPOCH for an id of another epoch. A refusal is an Answer, not an error.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/admission/admission_policy.h"
#include "kvcache/admission/admission_tally.h"
#include "kvcache/admission/lease_keeper.h"
#include "kvcache/admission/reservation.h"
#include "kvcache/admission/snapshot.h"
#include "kvcache/admission/tenants.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/ids.h"
#include "kvcache/pool/kv_cache.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {

// Whether a ledger finds out first who holds what, because it may have lived before: while it
// learns, newcomers wait with LEARNING and what was claimed is promised again. It learns from its
// start on for `default_ttl`, within which every holder has renewed.
enum class Learning : uint8_t {
  kNever,     // all ids of other epochs are stale: memory that died with the process
  kWhenTold,  // from the first renewal or claim of another epoch's id in that time
  kAlways,    // from the start
};

struct AdmissionOptions {
  std::string epoch;  // not empty, no '-'; one server life
  Duration default_ttl = std::chrono::seconds(30);
  Duration max_ttl = std::chrono::hours(1);           // at most ten years
  Duration confirm_window = std::chrono::seconds(5);  // zero: grants need no confirmation
  Tokens max_context = Tokens(kMaxTokens);            // the model's; longer requests never fit
  PolicyOptions policy = {};                          // of requests that name no class
  std::map<std::string, PolicyOptions> classes = {};  // of those that do; at most 16
  Quotas quotas = {};
  // How much longer a caller has to wait than one of the next higher priority to come before it.
  Duration priority_step = std::chrono::seconds(10);  // at most a day
  int64_t max_waiting = 10000;                        // callers in the queue
  // Of a generator that spreads retry_after, so that those who are refused at once do not come back
  // at once: up to half of the estimate is added. Zero: nothing is.
  uint64_t retry_seed = 0;
  Bytes idempotency_bytes = Bytes(64 << 20);
  Learning learning = Learning::kNever;
  // Of a prompt that is there already, the block with its last token is computed again, so that
  // there is something to go on from. For who runs sequences and does not cut them by itself.
  bool last_token_is_computed = false;
};

// Called once with the outcome of a queued request, from inside the controller: it must not call
// back into it.
using AnswerCallback = std::function<void(const Answer&)>;

// What became of a pool whose size was changed.
struct PoolResized {
  Blocks before, now;
  Blocks evicted = Blocks(0);  // cached blocks that had to go
  Blocks moved = Blocks(0);    // blocks whose place went

  friend bool operator==(const PoolResized&, const PoolResized&) = default;
};

// Makes memory for so many blocks, if it is not there, and then the copies of whole blocks.
using PreparePool = std::function<absl::Status(Blocks total, std::span<const BlockMove> moves)>;

// In place of KvCache::Preempt, and of KvCache::Resume of a sequence that starts over: for who
// keeps what a suspended sequence held.
using PreemptSequence = std::function<void(SequenceId)>;
using RestartSequence = std::function<bool(SequenceId, Blocks total)>;

class AdmissionController {
 public:
  // `cache` and `clock` outlive the controller. Whoever still waits when it is destroyed is not
  // answered; SetDraining(true) answers them.
  static absl::StatusOr<std::unique_ptr<AdmissionController>> Create(
      const AdmissionOptions& options, KvCache& cache, const Clock& clock);
  ~AdmissionController();

  // InvalidArgument, naming the field, for a request that Reserve does not take.
  absl::Status Validate(const ReservationRequest& request) const;

  // What Reserve would answer just now; changes nothing. An admitted answer carries no id. The
  // request is one that Validate accepts.
  Answer CanAdmit(const ReservationRequest& request) const;

  // Promises the blocks, or says wait or never. With a keeper, what is granted is its own: see
  // lease_keeper.h.
  absl::StatusOr<Answer> Reserve(const ReservationRequest& request, LeaseKeeper* keeper = nullptr);

  // All of them or nothing: the reservations in their order, or the first that was refused. Those
  // that were granted before it are as if they had never been: their ids are free, and no counter
  // tells of them. Errors as Reserve, and then nothing happened either.
  absl::StatusOr<BatchAnswer> ReserveAll(std::span<const ReservationRequest> requests);

  // As Reserve, but a wait is queued for up to `max_wait` and `done` hears the outcome, at once or
  // later; WAIT_TIMEOUT ends a wait without luck. Returns a ticket for CancelWait, or nullopt if
  // `done` was already called. ResourceExhausted when the queue is full.
  absl::StatusOr<std::optional<int64_t>> ReserveOrWait(const ReservationRequest& request,
                                                       Duration max_wait, AnswerCallback done,
                                                       LeaseKeeper* keeper = nullptr);
  // Forgets a waiting request; `done` is not called. Harmless when it was already answered.
  void CancelWait(int64_t ticket);

  // Makes the promise cover `total_tokens` (prompt plus new) in all; less than now changes nothing.
  // Where the policy promises less than the whole, this is how it hears of growth.
  // The answer is the reservation, or a refusal that leaves it as it was. While its sequence is
  // suspended nothing is promised: it may have what it may have, and is told to wait for more.
  absl::StatusOr<Answer> Extend(std::string_view id, Tokens total_tokens);
  // A sign of life: the lease runs for its ttl from now.
  absl::StatusOr<Reservation> Renew(std::string_view id);
  // Gives everything back; releasing twice is harmless while the end is remembered (a minute, less
  // under the byte cap), NotFound after that. With a running sequence, the blocks return
  // when the loop, which sees StopRequested, calls EndSequence. `used`, prompt plus new tokens, is
  // what the policy learns from where the holder's extensions did not tell; at most what it might
  // have used counts.
  absl::Status Release(std::string_view id, std::optional<Tokens> used = std::nullopt);
  // Takes everything back without asking the holder, whose next call is told NotFound, "it was
  // revoked", as long as the end is remembered; a release stays harmless. Counts as expired. With a
  // running sequence, the blocks return as after Release. NotFound where it has ended.
  absl::StatusOr<Revocation> Revoke(std::string_view id);
  // Whether it was taken away, as long as its end is remembered.
  bool WasRevoked(std::string_view id) const;
  absl::StatusOr<Reservation> Get(std::string_view id) const;

  // The reservation of this life that stands for one of an earlier life: the same one each time it
  // is claimed. An id of this life is renewed. FailedPrecondition, STALE_EPOCH, when nothing is
  // learned any more; ResourceExhausted, with the numbers, where it does not fit what is left;
  // NotFound where what was claimed has ended, is another tenant's, or is of a class or a ttl that
  // nobody can have any more. InvalidArgument for what was never a claim.
  absl::StatusOr<Reservation> Claim(const ReservationClaim& claim, LeaseKeeper* keeper = nullptr);
  // The keeper keeps it from now on, as if it had asked for it.
  absl::StatusOr<Reservation> Keep(std::string_view id, LeaseKeeper& keeper);
  // The lease runs for so long from now, if the keeper has it; the keeper still hears of its end.
  void LetGo(int64_t number, const LeaseKeeper& keeper, Duration lease);
  // The keeper goes away and hears nothing more; where it has not let go, the lease runs for the
  // reservation's ttl.
  void Forsake(int64_t number, const LeaseKeeper& keeper);

  // Starts a sequence that lives on the reservation's promise; FailedPrecondition if one runs.
  absl::StatusOr<SequenceId> BeginSequence(std::string_view id);
  // Ends the sequence and the reservation with it.
  void EndSequence(std::string_view id);
  // Names blocks of the running sequence, as KvCache::Name does, and counts for its tenant what
  // that gives back: who names them in the cache itself leaves the tenant with more than it holds.
  void Name(std::string_view id, const BlockNames& names);
  // Names blocks of the running sequence, all of whose tokens are computed, as far as the request's
  // prefix_hashes do; none where it did not begin with them, or was suspended since.
  void NamePrefix(std::string_view id);
  // Whether someone released the reservation whose sequence runs.
  bool StopRequested(std::string_view id) const;
  // How many were, since the start: while it stays the same, StopRequested says what it said.
  int64_t StopsRequested() const;

  // For the loop that owns running sequences, under policies that promise less than the whole.
  // Makes the promise cover `total` tokens of the sequence, at most what it may have in all. kNone
  // says that it does; else nothing changes, and it or another is to be suspended.
  Reason GrowSequence(std::string_view id, Tokens total);
  // Whether suspending `id` makes room for `other`, which did not grow for that reason: it is not
  // promised the whole, and is of the same tenant or has of the pool what nobody is guaranteed.
  bool GivesWay(std::string_view id, std::string_view other, Reason reason) const;
  // An overflow: takes from a running sequence all that it holds and was promised. It stays, empty,
  // and comes before everybody who waits: until it resumes, nobody starts but in what its tenant is
  // guaranteed.
  void SuspendSequence(std::string_view id, const PreemptSequence& preempt = nullptr);
  // Promises it room to start over with the tokens that it had, if the policy lets it. kNone says
  // that it does; else nothing changes.
  Reason ResumeSequence(std::string_view id, const RestartSequence& restart = nullptr);
  // Whether that never happens: every class is promised the whole.
  bool promises_whole() const;

  // Ends leases and waits that are over. Call at NextDeadline(), or at any time.
  void Advance();
  // When Advance next has something to do.
  std::optional<Instant> NextDeadline() const;

  // Who holds how much, by name; those who came and went long ago are the last, together, under no
  // name. O(tenants).
  std::vector<TenantUse> Tenants() const;
  // Who holds what, in order of grants: of the reservations with numbers after `number`, those that
  // the filter means, up to `most`. Looks at a thousand at most, so a page may be short. O(page).
  HoldingPage HoldingsAfter(int64_t number, int64_t most, const HoldingFilter& filter = {}) const;

  // The pool has `total` blocks from now on. For whoever owns the memory, and only while nobody
  // reads or writes blocks: it is called between two steps. `prepare` is called before anything but
  // cached blocks is changed, and where it fails nothing else is. Afterwards blocks from `total` on
  // are nobody's. Who waits and can never fit any more is told when its turn comes.
  // InvalidArgument unless `total` is in [1, cache().most()]; FailedPrecondition, with the numbers,
  // where it is less than what is live, promised and guaranteed to tenants, or than a request that
  // was let start may yet need. O(blocks + reservations).
  absl::StatusOr<PoolResized> Resize(Blocks total, const PreparePool& prepare);

  // Other quotas and policies from now on, as AdmissionOptions has them; all of them or none. What
  // is held stays as it was let in, so a maximum below what a tenant holds, and a minimum that is
  // not there, take effect as reservations end. InvalidArgument naming the field;
  // FailedPrecondition, with the numbers, where a reservation that is not promised the whole could
  // not end beside what others are guaranteed, or a quantile policy would begin with requests that
  // it knows nothing of. O(reservations + tenants).
  absl::Status Reconfigure(const Quotas& quotas, const PolicyOptions& policy,
                           const std::map<std::string, PolicyOptions>& classes);

  // While draining, new requests, and those that wait already, are told to wait with DRAINING.
  void SetDraining(bool draining);

  const KvCache& cache() const;
  KvCache& cache();
  const AdmissionOptions& options() const;
  // O(1). What the cache did since the last call (a loop committing tokens) is published first.
  AdmissionSnapshot Snapshot() const;
  // For readers on other threads: published before the call that changed anything returns, and
  // before `done` is called. A loop that changes the cache itself calls Advance after it.
  const SnapshotPublisher& published() const;
  // The same for counts that are not in it.
  const AdmissionTally& tally() const;
  // When the caller came who waits longest; nullopt where nobody waits. O(1).
  std::optional<Instant> OldestWait() const;

  void CheckInvariants() const;

 private:
  struct State;
  explicit AdmissionController(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A new epoch: 15 hexadecimal digits that no other server life is likely to have. One more, and
// every copy of it would cost an allocation.
std::string RandomEpoch();

}  // namespace plimsoll
