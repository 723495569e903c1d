// What an AdmissionController keeps, and the steps its calls are made of. Private to this folder.
//
// Every public call that may change something first ends what is over (EndWhatIsOver), then does
// its work, then settles (Settle). Blocks are freed only by Finish, and who waits is served only by
// ServeWaiters.
//
// Threads, cost, errors: see admission_controller.h.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kvcache/admission/admission_controller.h"
#include "kvcache/admission/deadline_queue.h"
#include "kvcache/admission/never_evict.h"
#include "kvcache/admission/policy_set.h"
#include "kvcache/admission/remaining_tokens.h"
#include "kvcache/admission/reservation_book.h"
#include "kvcache/admission/return_rate.h"
#include "kvcache/admission/stalled_holders.h"
#include "kvcache/admission/tenant_book.h"
#include "kvcache/admission/wait_queue.h"

namespace plimsoll {

// What it asks of a policy.
Demand DemandOf(const ReservationRequest& request);

struct AdmissionController::State {
  State(const AdmissionOptions& options_given, KvCache& cache_given, const Clock& clock_given,
        TenantBook tenants_given, PolicySet policies_given);

  // Deciding.
  // What the request's prompt is called in the cache. A view of the request.
  Prompt PromptOf(const ReservationRequest& request) const;
  PrefixFound FindPrefix(const ReservationRequest& request) const;
  absl::Status Validate(const ReservationRequest& request) const;
  // Of that, what no change of options makes right or wrong.
  absl::Status ValidateForm(const ReservationRequest& request) const;
  // The rest: whether a newcomer may have this class and ttl.
  absl::Status ValidateNew(const ReservationRequest& request) const;
  // The same, but that a repeat may always have what its first was given or waits for.
  absl::Status ValidateOffered(const ReservationRequest& request) const;
  Verdict Decide(const ReservationRequest& request, const Ahead& ahead) const;
  // The same for a newcomer.
  Verdict DecideNewcomer(const ReservationRequest& request, Instant now) const;
  // What decisions about this tenant's requests start from, with nobody ahead. What is owed to
  // holders more senior than this is not free.
  AdmissionView ViewFor(const std::string& tenant, int64_t seniority) const;
  // The same for one who holds a reservation: it may grow while nobody new is let in.
  AdmissionView ViewForHolder(const std::string& tenant, int64_t seniority) const;
  AdmissionView ViewForHolder(const ReservationRecord& record) const;
  // Whether the policy of its class lets it start.
  bool MayStart(const ReservationRequest& request, const RequestClass& its, Blocks free) const;
  // The same for one that stopped before: with room for some steps of all that grow.
  bool MayComeBack(const Demand& demand, const RequestClass& its, Blocks free) const;
  // The reservation that it goes on with, and how senior that was; none for a newcomer.
  const ReservationRecord* FindResumed(const ReservationRequest& request) const;
  std::optional<int64_t> SeniorityOf(const ReservationRequest& request) const;
  Verdict DecideExtension(const ReservationRecord& record, Tokens total) const;
  // The answer to one that is refused; says whether to yield, and what is owed to it.
  Refusal RefuseExtension(ReservationRecord& record, const Verdict& verdict, Instant now);
  Refusal Refuse(const std::string& tenant, const Verdict& verdict, Instant now) const;
  Duration RetryAfter(const std::string& tenant, const Verdict& verdict, Instant now) const;
  // Up to half as long again, where there is a seed.
  Duration SpreadOut(Duration estimate, Instant now) const;
  Duration TimeOfLeases(Blocks missing, Instant now) const;
  // What `request` would get now.
  Terms Draft(const ReservationRequest& request, Blocks blocks, Instant now) const;
  // The same as callers see it, without an id.
  Reservation Show(const Terms& terms, const std::string& tenant) const;

  // Answering.
  // The reservation that an earlier request with this id got; nullopt if there was none.
  // InvalidArgument if that one, or one that waits, asked for something else.
  absl::StatusOr<std::optional<Reservation>> FindRepeat(const ReservationRequest& request,
                                                        Instant now) const;
  // What can be said at once; counts nothing as refused.
  absl::StatusOr<Answer> AnswerNow(const ReservationRequest& request, Instant now,
                                   LeaseKeeper* keeper = nullptr);
  // The same, but that the tally hears of a grant only from TallyGrants: it never counts down.
  absl::StatusOr<Answer> AnswerUntallied(const ReservationRequest& request, Instant now,
                                         LeaseKeeper* keeper = nullptr);
  // Those with this number or a later one.
  void TallyGrants(int64_t first);
  // Leaves the tally to its caller.
  ReservationRecord& Grant(const ReservationRequest& request, Blocks blocks, Instant now,
                           LeaseKeeper* keeper = nullptr);
  // Takes back a grant that nobody has heard of.
  void Withdraw(ReservationRecord& record);
  void CountRefusal(const ReservationRequest& request, const Refusal& refusal);
  // Puts a caller in the queue; returns its ticket.
  int64_t Wait(Waiter waiter, Instant now);
  // Counts that a caller is out of it.
  void NoteLeft(const Waiter& waiter);
  void ServeWaiters(Instant now);
  // Those who need only what is left of the minimum that they share.
  void ServePurse(size_t purse, Instant now);
  void ServeWaiter(const Waiter& waiter, Blocks blocks, Instant now);
  // Answers callers who wait under the request id that `record` was just given to.
  void ServeRepeats(ReservationRecord& record, Instant now);
  // A caller was taken out of the queue with a refusal: that of the verdict, or to wait for this
  // reason in its place.
  void TurnAway(const Waiter& waiter, const Verdict& verdict, Instant now);
  void TurnAway(const Waiter& waiter, Reason reason, Instant now);

  // Holding.
  // The record of a held reservation; NotFound if it has ended, or was released and stops.
  absl::StatusOr<ReservationRecord*> FindHeld(std::string_view id);
  absl::StatusOr<ReservationRecord*> FindRunning(std::string_view id);
  Answer ExtendSuspended(ReservationRecord& record, Tokens total, Instant now);
  // The record of one whose sequence runs or is suspended; aborts where there is none.
  ReservationRecord& Running(std::string_view id);
  // As callers see it: while a sequence runs, the lease runs for its ttl from now.
  Reservation View(const ReservationRecord& record, Instant now) const;
  // The calendar's time at `now`: the clock is read once for each instant.
  WallTime WallAt(Instant now) const;
  void SignOfLife(ReservationRecord& record, Instant now);
  // The keeper, if it is one, keeps the reservation, if it is held; another one hears of that.
  void Attach(ReservationRecord& record, LeaseKeeper* keeper, Instant now);
  // The record of a held reservation with this keeper; null where there is none.
  ReservationRecord* FindKept(int64_t number, const LeaseKeeper& keeper);

  // Learning.
  // Somebody showed an id of another epoch as one that it holds.
  void NoteEarlierLife(Instant now);
  Verdict DecideClaim(const ReservationRequest& request) const;
  absl::StatusOr<ReservationRecord*> Reclaim(const ReservationClaim& claim,
                                             const ReservationRequest& request, Instant now);
  // Makes its promise cover so many blocks, which are there.
  void PromiseMore(ReservationRecord& record, Blocks blocks);
  // The holder's tokens reach `total`: tells the policy, and how long it may go on.
  void NoteGrowth(ReservationRecord& record, Tokens total, Instant now);
  // How many more it may generate.
  void NoteRemaining(ReservationRecord& record, Instant now);
  // What the reservation is promised changed, or it ended: tells the policies what is left.
  void NotePromised(const ReservationRecord& record, Blocks before);
  // Tells the policies what those share who are promised less than the whole.
  void TellRoom();
  // Blocks that the pool must have so that everybody who holds a reservation can end.
  Blocks LeastTotal() const;
  // Whether everybody who holds a reservation can end under these quotas.
  absl::Status CheckHolders(const Quotas& quotas) const;
  // Whether somebody holds or waits under it.
  bool InUse(const RequestClass& its) const;
  // Who waits under a class that promises in part and is not among these.
  int64_t WaitingInPart(const std::map<std::string, PolicyOptions>& classes) const;
  void ReplacePolicies(PolicySet successor);
  void ReplaceQuotas(const Quotas& quotas);
  // Gives back everything that the reservation holds, and counts how it ended.
  void Finish(ReservationRecord& record, Instant now, EndCause how);
  // Counts for a tenant what became available, or was taken, since so much was.
  void CountChange(TenantAccount& account, Blocks available_before);
  void GrantOwed();
  void CountEnd(TenantAccount& account, EndCause how);
  void EndWhatIsOver(Instant now);
  // Ends the lease, the wait or the claim, or grants the promotion, that is due first; false where
  // none is.
  bool EndNext(Instant now);

  // Showing.
  // Blocks of it that hold tokens.
  Blocks UsedOf(const ReservationRecord& record) const;
  Holding HoldingOf(const ReservationRecord& record, Instant now) const;
  AdmissionSnapshot Current() const;
  // Publishes if anything in the snapshot changed.
  void Publish();
  // Serves who may be served now, publishes, and in a build with PLIMSOLL_DEBUG_CHECKS verifies
  // everything while it is small.
  void Settle(Instant now);
  void CheckInvariants() const;
  void CheckTenants() const;

  AdmissionOptions options;  // of these, quotas and policies change
  KvCache& cache;
  const Clock& clock;
  ReservationBook book;
  TenantBook tenants;
  DeadlineQueue leases;  // of held reservations whose sequence does not run and that nobody keeps
  WaitQueue queue;
  PolicySet policies;
  StalledHolders stalled;
  Blocks promised_whole;           // to requests that are promised the whole
  int64_t first_since_quotas = 1;  // number of the first reservation under the quotas of now
  int64_t suspended = 0;           // reservations whose sequences are
  ReturnRate returns;
  RemainingTokens remaining;  // of held reservations
  bool draining = false;
  int64_t stops_requested = 0;  // of reservations whose sequences ran
  const Instant started;
  mutable Instant wall_read_at;
  mutable WallTime wall;
  std::optional<Instant> learning_until;
  AdmissionSnapshot counters;  // only what is counted since the start
  AdmissionSnapshot last;      // as published
  SnapshotPublisher published;
  AdmissionTally tally;
};

}  // namespace plimsoll
